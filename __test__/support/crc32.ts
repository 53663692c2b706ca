/**
 * Computes the CRC-32 of IEEE 802.3 bit by bit, independently of the code under test; big-endian.
 */
export function crc32(bytes: Uint8Array): Buffer {
  let sum = 0xffff_ffff
  for (const byte of bytes) {
    sum ^= byte
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb8_8320 : sum >>> 1
  }
  const out = Buffer.alloc(4)
  out.writeUInt32BE(~sum >>> 0)
  return out
}
