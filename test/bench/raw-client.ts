/** A client that does as little as a client can: start-up without password, simple queries, results counted and dropped. */
import { connect, type Socket } from 'node:net';
import { DATABASE } from './servers.ts';

export interface RawClient {
  readonly socket: Socket;
  /** Runs a simple query; resolves with the bytes received up to ReadyForQuery, or rejects with the server's error. */
  readonly query: (sql: string) => Promise<number>;
  /** Sends a simple query and does not read the answer. */
  readonly sendOnly: (sql: string) => void;
  readonly end: () => Promise<void>;
}

export async function connectRaw(port: number, database = DATABASE): Promise<RawClient> {
  const socket = connect({ host: '127.0.0.1', port });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', () => resolve());
    socket.once('error', reject);
  });
  const ready = readUntilReady(socket);
  socket.write(startupMessage({ user: 'agent', database }));
  await ready;
  return {
    socket,
    query: (sql) => {
      const answer = readUntilReady(socket);
      socket.write(queryMessage(sql));
      return answer;
    },
    sendOnly: (sql) => {
      socket.pause();
      socket.write(queryMessage(sql));
    },
    end: () =>
      new Promise((resolve) => {
        socket.once('close', () => resolve());
        socket.end(Buffer.from([0x58, 0, 0, 0, 4]));
      }),
  };
}

function startupMessage(parameters: Readonly<Record<string, string>>): Buffer {
  const body = `${Object.entries(parameters)
    .map(([name, value]) => `${name}\0${value}\0`)
    .join('')}\0`;
  const message = Buffer.alloc(8 + Buffer.byteLength(body));
  message.writeInt32BE(message.length, 0);
  message.writeInt32BE(196_608, 4);
  message.write(body, 8);
  return message;
}

function queryMessage(sql: string): Buffer {
  const length = Buffer.byteLength(sql);
  const message = Buffer.alloc(6 + length);
  message[0] = 0x51;
  message.writeInt32BE(length + 5, 1);
  message.write(sql, 5);
  return message;
}

/** ReadyForQuery closes an answer: `Z`, length 5, status. Chunks may cut it, so the last six bytes are kept. */
function readUntilReady(socket: Socket): Promise<number> {
  return new Promise((resolve, reject) => {
    let received = 0;
    let tail: Buffer = Buffer.alloc(0);
    let first: Buffer | undefined;
    const settle = (action: () => void): void => {
      socket.off('data', onData);
      socket.off('error', onEnd);
      socket.off('close', onEnd);
      action();
    };
    const onEnd = (): void => settle(() => reject(new Error('connection lost')));
    const onData = (chunk: Buffer): void => {
      received += chunk.length;
      first ??= chunk;
      tail = chunk.length >= 6 ? chunk.subarray(-6) : Buffer.concat([tail, chunk]).subarray(-6);
      const isReady = tail.length === 6 && tail[0] === 0x5a && tail.readInt32BE(1) === 5;
      const isError = first[0] === 0x45;
      if (isReady && isError) settle(() => reject(new Error(errorText(first ?? Buffer.alloc(0)))));
      else if (isReady) settle(() => resolve(received));
    };
    socket.on('data', onData);
    socket.on('error', onEnd);
    socket.on('close', onEnd);
    socket.resume();
  });
}

function errorText(message: Buffer): string {
  return message
    .subarray(5, 5 + Math.min(400, message.length))
    .toString('utf8')
    .replaceAll('\0', ' | ');
}
