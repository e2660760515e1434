import { describe, expect, test } from 'vitest';
import { encodeNegotiateProtocolVersion } from '#wire/encode.ts';
import { decodeNegotiateProtocolVersion } from '#wire/decode.ts';
import { encodeGssencRequest, encodeSslRequest, encodeStartup, readStartupPacket } from '#wire/startup.ts';
import { WireError } from '#wire/wire-error.ts';

function lengthWord(length: number, code: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeInt32BE(length, 0);
  bytes.writeInt32BE(code, 4);
  return bytes;
}

describe('start-up packets', () => {
  test('encryption requests', () => {
    expect(readStartupPacket(encodeSslRequest())).toEqual({ packet: { kind: 'ssl' }, consumedBytes: 8 });
    expect(readStartupPacket(encodeGssencRequest())).toEqual({ packet: { kind: 'gssenc' }, consumedBytes: 8 });
  });

  test('half a packet needs more, bytes behind it stay', () => {
    const packet = encodeStartup(0, new Map([['user', 'ünï']]));
    expect(readStartupPacket(packet.subarray(0, 3))).toBeUndefined();
    expect(readStartupPacket(packet.subarray(0, packet.length - 1))).toBeUndefined();
    expect(readStartupPacket(Buffer.concat([packet, Buffer.from('Q')]))?.consumedBytes).toBe(packet.length);
  });

  test('protocol options are set apart', () => {
    const packet = readStartupPacket(
      encodeStartup(
        9999,
        new Map([
          ['user', 'a'],
          ['_pq_.x', '1'],
        ]),
      ),
    )?.packet;
    expect(packet).toEqual({
      kind: 'startup',
      minorVersion: 9999,
      parameters: new Map([['user', 'a']]),
      protocolOptions: ['_pq_.x'],
    });
    const answer = encodeNegotiateProtocolVersion(2, ['_pq_.x']);
    expect(decodeNegotiateProtocolVersion(answer, 0, answer.length)).toEqual({
      minorVersion: 2,
      unknownOptions: ['_pq_.x'],
    });
  });

  test.each([
    ['a length of 1 GB', lengthWord(0x3fffffff, 196608), 'invalid length of startup packet'],
    ['a length of 7', lengthWord(7, 196608), 'invalid length of startup packet'],
    ['a negative length', lengthWord(-1, 196608), 'invalid length of startup packet'],
    ['protocol 2', lengthWord(8, 0x20000), 'unsupported frontend protocol'],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n'), 'invalid length of startup packet'],
    ['no terminator', Buffer.concat([lengthWord(12, 196608), Buffer.from('user')]), 'string without end in message'],
    [
      'bytes behind the terminator',
      Buffer.concat([lengthWord(10, 196608), Buffer.from('\0x')]),
      'startup packet has bytes after its end',
    ],
  ])('%s is refused', (_, bytes, message) => {
    expect(() => readStartupPacket(bytes)).toThrow(new WireError(message));
  });
});
