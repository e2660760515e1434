/** `postern proxy` and nothing else, so that a sidecar starts without reading what the other commands need. */
import { runProxy } from './proxy.ts';
import { addProxyCommand } from './proxy-command.ts';
import { newProgram, runProgram } from './program.ts';

const program = newProgram();
addProxyCommand(program, runProxy);
await runProgram(program);
