/** The types of a page that playwright-core's own types name. Our tests read pages as text only; the whole of `lib.dom` would be in scope everywhere. */
interface Node {
  readonly nodeName: string;
}
interface HTMLElement extends Node {
  readonly tagName: string;
}
interface SVGElement extends Node {
  readonly tagName: string;
}
type HTMLElementTagNameMap = Readonly<Record<string, HTMLElement>>;
