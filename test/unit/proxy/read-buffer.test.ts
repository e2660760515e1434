import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { ReadBuffer } from '#proxy/read-buffer.ts';

const open: { destroy(): void }[] = [];

afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
});

/** Both ends of a connection; the accepted one is paused. */
async function connectPair(): Promise<{ accepted: Socket; client: Socket }> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [Socket];
  server.close();
  open.push(accepted, client);
  return { accepted, client };
}

async function until(isDone: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 500 && !isDone(); attempt++) await sleep(5);
  expect(isDone()).toBe(true);
}

describe('an accepted socket', () => {
  test('is read into one buffer, again and again, and another one where the bytes are kept', async () => {
    const { accepted, client } = await connectPair();
    const reader = new ReadBuffer({ sizeBytes: 1024 });
    const seen: { readonly text: string; readonly bytes: Buffer }[] = [];
    reader.receive = (bytes) => {
      const text = bytes.toString();
      seen.push({ text, bytes });
      if (text === 'second') reader.keep();
      return true;
    };
    expect(reader.takeOver(accepted)).toBe(true);
    accepted.resume();
    for (const [index, text] of ['first', 'second', 'third', 'fourth'].entries()) {
      client.write(text);
      await until(() => seen.length > index);
    }
    expect(seen.map(({ text }) => text)).toEqual(['first', 'second', 'third', 'fourth']);
    expect(seen.map(({ bytes }) => bytes.buffer === seen[0]?.bytes.buffer)).toEqual([true, true, false, false]);
    expect(seen[1]?.bytes.toString()).toBe('second');
    expect(seen[2]?.bytes.toString()).toBe('fourt');
  });

  test('waits until it is resumed, stops while it is paused, and tells its end', async () => {
    const { accepted, client } = await connectPair();
    const reader = new ReadBuffer({ sizeBytes: 1024 });
    let received = '';
    let hasEnded = false;
    reader.receive = (bytes) => {
      received += bytes.toString();
      return true;
    };
    accepted.on('end', () => {
      hasEnded = true;
    });
    expect(reader.takeOver(accepted)).toBe(true);
    client.write('one');
    await sleep(50);
    expect(received).toBe('');
    accepted.resume();
    await until(() => received === 'one');
    accepted.pause();
    client.end('two');
    await sleep(50);
    expect(received).toBe('one');
    accepted.resume();
    await until(() => hasEnded);
    expect(received).toBe('onetwo');
  });

  test('is left as it is where bytes wait in it, where it speaks TLS, and where Node has changed inside', async () => {
    const reader = new ReadBuffer({ sizeBytes: 1024 });
    const { accepted, client } = await connectPair();
    client.write('early');
    accepted.resume().pause();
    await until(() => accepted.readableLength > 0);
    expect(reader.takeOver(accepted)).toBe(false);
    expect(accepted.read()?.toString()).toBe('early');

    const secured = new TLSSocket(new PassThrough());
    open.push(secured);
    expect(reader.takeOver(secured)).toBe(false);

    const other = await connectPair();
    const handle: unknown = Reflect.get(other.accepted, '_handle');
    Object.defineProperty(handle, 'useUserBuffer', { value: undefined });
    expect(reader.takeOver(other.accepted)).toBe(false);
  });
});
