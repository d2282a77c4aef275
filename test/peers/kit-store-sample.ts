/** A kit and a kernel as small as they come, for tests of where they are kept. */
export const KIT_HEX = 'ab'.repeat(32)
export const KIT: ReadonlyMap<string, Uint8Array> = new Map(
  ['kernel', 'initrd', 'ipxe/snponly.efi', 'manifest.json'].map((name) => [name, Buffer.from(name.repeat(1000))]),
)

export async function* kernelChunks(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('my ')
  yield Buffer.from('kernel')
}
