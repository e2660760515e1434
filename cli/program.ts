/** What all commands of `postern` have in common: how the command line is read, and what a fault of it becomes. */
import { Command, CommanderError } from 'commander';
import { UsageError } from './arguments.ts';
import { version } from './version.ts';

/** The program without commands. */
export function newProgram(): Command {
  return new Command('postern')
    .description('A side gate between an AI agent and a PostgreSQL database: scoped, masked at read, recorded.')
    .version(version)
    .showHelpAfterError('(postern help COMMAND shows what a command takes)')
    .exitOverride();
}

/** A new command of `program`; its faults are thrown too. */
export function addCommand(program: Command, name: string): Command {
  return program.command(name).exitOverride();
}

/** Runs the command line of this process; never rejects. Sets the exit code: 1 failed, 2 usage, or what the command set. */
export async function runProgram(program: Command): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else if (error instanceof UsageError) {
      process.stderr.write(`postern: ${error.message}\n`);
      process.exitCode = 2;
    } else {
      process.stderr.write(`postern: ${error instanceof Error ? error.message : 'failed'}\n`);
      process.exitCode = 1;
    }
  }
}
