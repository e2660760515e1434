/** A_Indirection: subscripts and fields, `(doc)[1]`, `(c).name`, `(c).*`. */
import { judgeAttribute } from './attribute.ts';
import { readField } from './column-reference.ts';
import type { Tree } from './parser.ts';
import type { Scope } from './scope.ts';
import type { Context } from './statement-context.ts';
import { asNode, listField, locationOf, stringField, treeField, unwrap } from './tree-access.ts';
import { isRegOid } from './type-cast.ts';
import { combine, walkField, walkList, type ExpressionInfo } from './walk.ts';

/** Nearest place in the text for a message. */
function locationInside(node: Tree | undefined): number {
  return node === undefined ? 0 : locationOf(unwrap(node)[1]);
}

export function indirection(content: Tree, scope: Scope, context: Context): ExpressionInfo {
  const argument = treeField(content, 'arg');
  const fields = listField(content, 'indirection').map((element) =>
    stringField(asNode(element, 'String') ?? {}, 'sval'),
  );
  const [first, ...others] = fields;
  const reference = asNode(argument, 'ColumnRef');
  const own = first === undefined || reference === undefined ? undefined : readField(reference, first, scope, context);
  const looked = own === undefined ? fields : others;
  for (const name of looked) if (name !== undefined) judgeAttribute(name, locationInside(argument), context);
  if (own !== undefined && fields.length === 1) return own;
  const infos = [own ?? walkField(content, 'arg', scope, context), ...walkList(content, 'indirection', scope, context)];
  // An element of an array of reg* values is one.
  const [base] = infos;
  const typeOid =
    looked.every((name) => name === undefined) && isRegOid(base?.typeOid, context) ? base?.typeOid : undefined;
  return { ...combine(infos), leakproof: false, constant: false, typeOid };
}
