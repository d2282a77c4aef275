/**
 * Media for real: each form that `media build` makes is started by OVMF and by SeaBIOS in QEMU, as a flash drive and as an optical one.
 * The root of the image is made by Debian's own programs (mkfs.erofs, veritysetup). Machines have no network but QEMU's own.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import { readPaths } from '../../src/drivers/boot-files.ts'
import type { Extent } from '../../src/formats/extents.ts'
import type { MediaFormat } from '../../src/model/media.ts'
import type { KitManifest } from '../../src/services/kits/build.ts'
import type { Kit } from '../../src/services/kits/kits.ts'
import { loaderContents, type Contents } from '../../src/services/media/contents.ts'
import { formed } from '../../src/services/media/form.ts'
import { imageContents } from '../../src/services/media/image-contents.ts'
import { buildGuestKit } from '../fakes/guest-kit.ts'
import { flipBit, makeVerityImage, type VerityImage } from '../fakes/verity-image.ts'

const missing = ['qemu-system-x86_64', 'apt-get', 'mkfs.erofs', 'veritysetup'].filter(
  (name) => spawnSync('which', [name]).status !== 0,
)
const OVMF = '/usr/share/OVMF/OVMF_CODE_4M.fd'
if (!existsSync(OVMF)) missing.push('ovmf')
const skip = missing.length > 0 && `not installed: ${missing.join(', ')}`

type Firmware = 'uefi' | 'bios'
type Drive = 'usb' | 'cd'
const BOOTS: readonly (readonly [format: MediaFormat, firmware: Firmware, drive: Drive])[] = [
  ['fat32', 'uefi', 'usb'],
  ['gpt', 'uefi', 'usb'],
  ['iso', 'uefi', 'usb'],
  ['iso', 'uefi', 'cd'],
  ['iso', 'bios', 'usb'],
  ['iso', 'bios', 'cd'],
]
const isOver = (said: string): boolean => /reboot: Power down|FAILED/.test(said)
const LABEL = 'BAREBOAT'
const signal = new AbortController().signal
const whole = async (content: readonly Extent[]) => Buffer.concat(await Array.fromAsync(readPaths(content, signal)))

// Two machines at a time, which two cores can just do.
suite('media', { skip, concurrency: 2 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-media-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const data = Buffer.concat(Array.from({ length: 1 << 16 }, (_, i) => createHash('sha256').update(`${i}`).digest()))
  const sum = createHash('md5').update(data).digest('hex')
  let kit: Kit
  let image: VerityImage

  before(async () => {
    const built = await buildGuestKit()
    kit = kitIn(built.kit)
    const root = join(folder, 'root')
    for (const name of ['bin', 'etc', 'data']) mkdirSync(join(root, name), { recursive: true })
    writeFileSync(join(root, 'bin/busybox'), built.busybox, { mode: 0o755 })
    for (const name of ['sh', 'md5sum', 'cat']) symlinkSync('busybox', join(root, 'bin', name))
    writeFileSync(join(root, 'data/file'), data)
    image = makeVerityImage(root, join(folder, 'root.erofs'))
  })

  for (const [format, firmware, drive] of BOOTS)
    test(`an image as ${format} boots by ${firmware} from ${drive}, without a network`, async () => {
      const path = await build('image', await contentsOf(image.path), format)
      const said = await boot(path, firmware, drive, ['-nic', 'none'], isOver)
      assert.match(said, new RegExp(`^${sum}  /data/file`, 'm'))
      assert.match(said, /^from stderr/m)
      assert.match(said, /bareboat: the workload ended with 7/)
      assert.doesNotMatch(said, /FAILED/)
    })

  test('an image of which a bit is another gives an I/O error, never other data', async () => {
    const changed = join(folder, 'changed.erofs')
    flipBit(image.path, changed, readFileSync(image.path).indexOf(data.subarray(0, 4096)) + 100)
    const path = await build('changed', await contentsOf(changed), 'iso')
    const said = await boot(path, 'bios', 'cd', ['-nic', 'none'], isOver)
    assert.match(said, /md5sum: .*(I\/O|Input\/output) error/)
    assert.doesNotMatch(said, /^[0-9a-f]{32} {2}\/data\/file/m)
  })

  for (const [format, firmware, drive] of BOOTS)
    test(`the loader as ${format} boots by ${firmware} from ${drive} and asks the server with its MAC`, async () => {
      const asked: string[] = []
      await using server = await listening((url) => {
        asked.push(url)
        return '#!ipxe\nsleep 600\n'
      })
      const path = await build('loader', await loaderContents(kit, `http://10.0.2.2:${server.port}`, whole), format)
      const net = ['-netdev', 'user,id=n', '-device', 'virtio-net-pci,netdev=n,romfile=,mac=52:54:00:0a:0b:0c']
      await boot(path, firmware, drive, net, () => asked.length > 0)
      assert.deepEqual(asked, ['/boot/waiting.ipxe?mac=52-54-00-0a-0b-0c'])
    })

  function contentsOf(rootPath: string): Promise<Contents> {
    const sizeBytes = Number(image.spec['BB_DEVICE_BYTES'])
    const script = 'md5sum /data/file; echo from stderr >&2; exit 7'
    return imageContents(
      {
        kit,
        workload: {
          mode: 'app',
          argv: ['/bin/sh', '-c', script],
          env: ['PATH=/bin'],
          workdir: '/',
          stopSignal: 'TERM',
          uid: 0,
          gid: 0,
          groups: [0],
          home: '/',
        },
        root: {
          rootHash: image.rootHash,
          sizeBytes,
          dataBlocks: image.spec['BB_DATA_BLOCKS']!,
          hashStartBlock: image.spec['BB_HASH_START']!,
          content: [{ kind: 'blob', blob: rootPath, offset: 0, length: sizeBytes }],
        },
        imageId: 'ab'.repeat(32),
        name: 'test',
        label: LABEL,
        kernelParams: ['console=ttyS0,115200'],
        madeAtSeconds: 1_700_000_000,
      },
      whole,
    )
  }

  async function build(name: string, contents: Contents, format: MediaFormat): Promise<string> {
    const path = join(mkdtempSync(join(folder, 'medium-')), `${name}.${format}`)
    await writeFile(path, readPaths(formed(contents, { format, label: LABEL }), signal))
    return path
  }

  /** @returns what was on the serial line when it had come to that  @throws when it does not */
  async function boot(
    path: string,
    firmware: Firmware,
    drive: Drive,
    net: string[],
    until: (said: string) => boolean,
  ): Promise<string> {
    const own = mkdtempSync(join(folder, 'machine-'))
    const serial = join(own, 'serial')
    const vars = join(own, 'vars.fd')
    copyFileSync('/usr/share/OVMF/OVMF_VARS_4M.fd', vars)
    const pflash = [
      '-drive',
      `if=pflash,format=raw,readonly=on,file=${OVMF}`,
      '-drive',
      `if=pflash,format=raw,file=${vars}`,
    ]
    const shown = {
      usb: ['qemu-xhci', 'usb-storage,drive=d,bootindex=0'],
      cd: ['ide-cd,drive=d,bus=ide.0,bootindex=0'],
    }
    const args = [
      ...['-accel', 'tcg', '-m', '768', '-display', 'none', '-vga', 'none', '-machine', 'q35,graphics=off'],
      ...['-serial', `file:${serial}`, '-drive', `if=none,id=d,format=raw,readonly=on,file=${path}`],
      ...(firmware === 'uefi' ? pflash : []),
      ...shown[drive].flatMap((device) => ['-device', device]),
      ...net,
    ]
    const machine = spawn('qemu-system-x86_64', args, { stdio: 'ignore' })
    const ended = new Promise((resolve) => machine.once('exit', resolve))
    const read = () => (existsSync(serial) ? readFileSync(serial, 'latin1').replaceAll('\r', '') : '')
    try {
      const said = await poll(() => (until(read()) ? read() : undefined), { everyMs: 200, deadlineMs: 300_000 })
      assert.ok(said !== undefined, `it did not come to that in time; on the serial line:\n${read().slice(-3000)}`)
      return said
    } finally {
      machine.kill('SIGKILL')
      await ended
    }
  }
})

function kitIn(folder: string): Kit {
  const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as KitManifest
  const below = (room: string) =>
    new Map(
      Object.keys(manifest.files)
        .filter((name) => name.startsWith(room))
        .map((name) => [name.slice(room.length), join(folder, name)] as const),
    )
  return {
    digest: `sha256:${'0'.repeat(64)}`,
    manifest,
    createdAt: 0,
    kernelPath: join(folder, 'kernel'),
    initrdPath: join(folder, 'initrd'),
    ipxe: below('ipxe/'),
    grub: below('grub/'),
    media: below('media/'),
  }
}

async function listening(answer: (url: string) => string) {
  const server = createServer((request, response) => response.end(answer(request.url ?? '')))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
