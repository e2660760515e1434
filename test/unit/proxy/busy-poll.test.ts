import { describe, expect, test } from 'vitest';
import { BusyPoll } from '#proxy/busy-poll.ts';

/** A clock that stands, and an event loop that is turned by hand. */
function start(processors = 2) {
  let nowMs = 1000;
  let waiting: (() => void) | undefined;
  const poll = new BusyPoll({
    processors,
    nowMs: () => nowMs,
    turn: (callback) => {
      if (waiting !== undefined) throw new Error('asked for two turns at once');
      waiting = callback;
    },
  });
  const wait = (forMs: number): void => {
    nowMs += forMs;
  };
  return {
    poll,
    wait,
    isAwake: () => waiting !== undefined,
    turn: () => {
      const callback = waiting;
      waiting = undefined;
      callback?.();
    },
    /** An answer that takes so long, with no turn between. */
    answered: (who: 'server' | 'client', afterMs: number) => {
      poll.expect(who, 1);
      wait(afterMs);
      poll.arrived();
    },
  };
}

describe('the event loop', () => {
  test('stays awake after a write, for 0.4 ms and no longer', () => {
    const { poll, wait, isAwake, turn } = start();
    expect(isAwake()).toBe(false);
    poll.expect('server', 1);
    for (let turns = 0; turns < 3; turns++) {
      expect(isAwake()).toBe(true);
      wait(0.13);
      turn();
    }
    expect(isAwake()).toBe(true);
    wait(0.02);
    turn();
    expect(isAwake()).toBe(false);
  });

  test('sleeps when the bytes have come and nothing more is written', () => {
    const { poll, isAwake, turn } = start();
    poll.expect('server', 1);
    poll.arrived();
    turn();
    expect(isAwake()).toBe(false);
  });

  test('is asked for one turn at a time, however much is written', () => {
    const { poll, isAwake, turn } = start();
    poll.expect('server', 1);
    poll.expect('client', 1);
    poll.arrived();
    poll.expect('server', 1);
    turn();
    expect(isAwake()).toBe(true);
  });

  test('sleeps where answers usually take longer, and wakes again when they come soon', () => {
    const { poll, answered, isAwake, turn } = start();
    for (let count = 0; count < 20; count++) {
      answered('server', 40);
      turn();
    }
    poll.expect('server', 1);
    expect(isAwake()).toBe(false);
    poll.arrived();
    for (let count = 0; count < 20; count++) answered('server', 0.1);
    turn();
    poll.expect('server', 1);
    expect(isAwake()).toBe(true);
  });

  test('learns of a server and of clients apart', () => {
    const { poll, answered, isAwake, turn } = start();
    for (let count = 0; count < 20; count++) {
      answered('client', 40);
      turn();
    }
    poll.expect('client', 1);
    expect(isAwake()).toBe(false);
    poll.expect('server', 1);
    expect(isAwake()).toBe(true);
  });

  test('is not kept from sleeping by one slow answer among many', () => {
    const { poll, answered, isAwake, turn } = start();
    for (let count = 0; count < 20; count++) answered('server', 0.1);
    answered('server', 5000);
    for (let count = 0; count < 8; count++) answered('server', 0.1);
    turn();
    turn();
    poll.expect('server', 1);
    expect(isAwake()).toBe(true);
  });

  test('stays awake for two sessions, not where a third one writes too', () => {
    const { poll, wait, isAwake, turn } = start();
    for (const session of [1, 2, 1, 2]) poll.expect('server', session);
    expect(isAwake()).toBe(true);
    poll.expect('server', 3);
    wait(0.5);
    turn();
    expect(isAwake()).toBe(false);
    poll.expect('server', 1);
    expect(isAwake()).toBe(false);
    wait(2);
    poll.expect('server', 1);
    expect(isAwake()).toBe(true);
  });

  test('sleeps always on one processor', () => {
    const { poll, isAwake } = start(1);
    poll.expect('server', 1);
    expect(isAwake()).toBe(false);
  });
});
