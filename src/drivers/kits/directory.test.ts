import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { AppError } from '../../base/errors.ts'
import { quietLog } from '../../base/log.ts'
import { sampleElf } from '../../formats/elf/sample.ts'
import { createKits } from '../../services/kits/kits.ts'
import type { PackageSource } from '../../services/kits/ports.ts'
import { AGENT_PROGRAMS, GRUB_FILES, IPXE_FILES, MEDIA_LOADERS, PROGRAMS } from '../../services/kits/recipe.ts'
import { openKitDirectory } from './directory.ts'
import { readGuestFiles } from './guest-files.ts'
import { openBootFile } from './open-boot-file.ts'

const R = '6.12.0-test'
const interpreter = '/lib64/ld-linux-x86-64.so.2'
const program = sampleElf({ needed: ['libc.so.6'], interpreter, modinfo: 'name=x\0' })
const library = sampleElf({ needed: [], modinfo: 'name=x\0' })
const driver = sampleElf({ needed: [], modinfo: 'name=virtio_net\0alias=virtio:d00000001v*\0firmware=x/y.bin\0' })

/** An archive of small packages; `changes` replaces bytes of the kernel. */
function fakeArchive(kernel = 'kernel'): PackageSource & { fetched: string[] } {
  const root = `usr/lib/modules/${R}/`
  const packages = new Map<string, { depends: string[]; deb: Uint8Array }>([
    ['linux-image-amd64', { depends: [`linux-image-${R}`], deb: deb([]) }],
    ['linux-image-arm64', { depends: [`linux-image-${R}`], deb: deb([]) }],
    [
      `linux-image-${R}`,
      {
        depends: [],
        deb: deb([
          [`boot/vmlinuz-${R}`, kernel],
          [`${root}modules.builtin`, 'kernel/net/af_packet.ko\n'],
          [`${root}kernel/virtio_net.ko`, driver],
        ]),
      },
    ],
    [
      'libc6',
      {
        depends: [],
        deb: deb([
          ['usr/lib/x/libc.so.6', library],
          ['usr/lib/x/ld-linux-x86-64.so.2', library],
        ]),
      },
    ],
    ['ipxe', { depends: [], deb: deb(IPXE_FILES.map((name) => [`usr/lib/ipxe/${name}`, name])) }],
  ])
  const programs = [...PROGRAMS, ...AGENT_PROGRAMS]
  for (const { package: name } of programs)
    packages.set(name, {
      depends: ['libc6'],
      deb: deb(programs.filter((p) => p.package === name).map((p) => [p.from, program])),
    })
  const loaders = [...Object.values(MEDIA_LOADERS).flat(), ...Object.values(GRUB_FILES.amd64)]
  for (const { package: name } of loaders)
    packages.set(name, {
      depends: [],
      deb: deb(loaders.filter((p) => p.package === name).map((p) => [p.from, p.from])),
    })
  const fetched: string[] = []
  return {
    fetched,
    describe: async (names) =>
      names.map((name) => {
        const found = packages.get(name)
        if (!found) throw new AppError('not_found', `Cannot find package "${name}"`)
        const sha256 = createHash('sha256').update(found.deb).digest('hex')
        return {
          name,
          version: '1',
          architecture: 'amd64',
          sha256,
          sizeBytes: found.deb.length,
          depends: found.depends,
        }
      }),
    fetch: async ({ name }) => (fetched.push(name), packages.get(name)!.deb),
  }
}

async function site(source: PackageSource = fakeArchive()) {
  const directory = await mkdtemp(join(tmpdir(), 'kits-'))
  const inflateXz = (): Promise<Uint8Array> => Promise.reject(new Error('nothing here is xz'))
  return {
    directory,
    kits: createKits({
      log: quietLog,
      store: await openKitDirectory(directory, quietLog),
      source: () => source,
      inflateXz,
      guestFiles: readGuestFiles,
      openBootFile,
    }),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  }
}

test('build makes a kit whose digest covers every file; it becomes the default', async () => {
  await using a = await site()
  const kit = await a.kits.build()
  const manifest = await readFile(join(a.directory, kit.digest.slice(7), 'manifest.json'))
  assert.equal(kit.digest, `sha256:${createHash('sha256').update(manifest).digest('hex')}`)
  for (const [name, { sha256 }] of Object.entries(kit.manifest.files)) {
    const bytes = await readFile(join(a.directory, kit.digest.slice(7), name))
    assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256, name)
  }
  assert.deepEqual([...kit.ipxe.keys()].toSorted(), [...IPXE_FILES].toSorted())
  assert.deepEqual([...kit.grub.keys()], ['grubnetia32.efi', 'i386-efi/http.mod'])
  assert.deepEqual([...kit.media.keys()], ['systemd-bootx64.efi', 'isolinux.bin', 'isohdpfx.bin', 'ldlinux.c32'])
  assert.deepEqual(kit.manifest.modules, ['virtio_net'])
  assert.deepEqual(kit.manifest.firmwareMissing, { virtio_net: ['x/y.bin'] })
  assert.ok(kit.manifest.modulesMissing.includes('tg3') && !kit.manifest.modulesMissing.includes('af_packet'))
  assert.equal((await a.kits.open()).digest, kit.digest)
  assert.equal((await a.kits.open(kit.digest.slice(7, 15))).digest, kit.digest)
})

test('the programs of the agent are a file of their own, without the libraries that the initrd has', async () => {
  await using a = await site()
  const { agentToolsPath, initrdPath } = await a.kits.build()
  const tools = gunzipSync(await readFile(agentToolsPath!)).toString('latin1')
  const initrd = (await readFile(initrdPath)).toString('latin1')
  for (const name of ['tools/ipmi-raw', 'bin/ipmi-raw', 'tools/nvme', 'tools/hdparm'])
    assert.deepEqual([tools.includes(`${name}\0`), initrd.includes(`${name}\0`)], [true, false], name)
  assert.deepEqual([tools.includes('tools/libc.so.6\0'), initrd.includes('tools/libc.so.6\0')], [false, true])
})

test('the same packages give the same digest anywhere; another kernel gives another', async () => {
  await using a = await site()
  await using b = await site()
  await using c = await site(fakeArchive('newer'))
  const [one, two, other] = [await a.kits.build(), await b.kits.build(), await c.kits.build()]
  assert.equal(one.digest, two.digest)
  assert.notEqual(one.digest, other.digest)
})

test('a second build of the same packages fetches nothing, unless forced', async () => {
  const source = fakeArchive()
  await using a = await site(source)
  const first = await a.kits.build()
  const count = source.fetched.length
  await a.kits.build()
  assert.equal(source.fetched.length, count)
  assert.equal((await a.kits.build({ force: true })).digest, first.digest)
  assert.ok(source.fetched.length > count)
  assert.deepEqual((await readdir(a.directory)).toSorted(), [first.digest.slice(7), 'default'].toSorted())
})

test('a build that fails leaves nothing behind', async () => {
  const source = fakeArchive()
  await using a = await site({ ...source, fetch: () => Promise.reject(new AppError('unreachable', 'Cannot fetch')) })
  await assert.rejects(a.kits.build(), { code: 'unreachable' })
  assert.deepEqual(await readdir(a.directory), [])
})

test('open names what it does not find; remove takes the default with it', async () => {
  await using a = await site()
  await assert.rejects(a.kits.open(), { code: 'not_found', message: /none was built/ })
  await assert.rejects(a.kits.open('../../etc'), { code: 'invalid' })
  const kit = await a.kits.build()
  await assert.rejects(a.kits.open('000000'), { code: 'not_found' })
  await a.kits.remove(kit.digest)
  assert.deepEqual(await a.kits.list(), [])
  await assert.rejects(a.kits.open(), { code: 'not_found' })
})

test('a manifest that was changed is refused', async () => {
  await using a = await site()
  const kit = await a.kits.build()
  await writeFile(join(a.directory, kit.digest.slice(7), 'manifest.json'), '{}')
  await assert.rejects(a.kits.open(), { message: /its manifest was changed/ })
})

test('importFile keeps a file under a name that is no path', async () => {
  await using a = await site()
  const from = join(a.directory, 'given')
  await writeFile(from, 'my kernel')
  await a.kits.importFile('kernel', 'mine-6.1', from)
  assert.equal(await readFile(await a.kits.imported('kernel', 'mine-6.1'), 'utf8'), 'my kernel')
  const [found] = await a.kits.imports.list()
  const digest = `sha256:${createHash('sha256').update('my kernel').digest('hex')}`
  assert.deepEqual([found?.kind, found?.name, found?.digest, found?.sizeBytes], ['kernel', 'mine-6.1', digest, 9])
  for (const name of ['../x', '', '.hidden', 'a/b', 'x'.repeat(200)])
    await assert.rejects(a.kits.importFile('kernel', name, from), { code: 'invalid' }, name)
  await writeFile(from, '')
  await assert.rejects(a.kits.importFile('initrd', 'empty', from), { message: /it is empty/ })
  await assert.rejects(a.kits.imported('initrd', 'empty'), { code: 'not_found' })
  await assert.rejects(a.kits.importFile('kernel', 'gone', join(a.directory, 'nothing')), { code: 'not_found' })
  await assert.rejects(a.kits.imports.remove('kernel', '../given'), { code: 'not_found' })
  await a.kits.imports.remove('kernel', 'mine-6.1')
  await assert.rejects(a.kits.imports.remove('kernel', 'mine-6.1'), { code: 'not_found' })
  assert.deepEqual(await a.kits.imports.list(), [])
})

test('each architecture has a default of its own', async () => {
  await using a = await site()
  const amd64 = await a.kits.build()
  await assert.rejects(a.kits.open('default', 'arm64'), { code: 'not_found', message: /kit build --arch arm64/ })
  const arm64 = await a.kits.build({ architecture: 'arm64' })
  assert.equal(arm64.manifest.architecture, 'arm64')
  assert.equal((await a.kits.open()).digest, amd64.digest)
  assert.equal((await a.kits.open('default', 'arm64')).digest, arm64.digest)
  assert.deepEqual(await a.kits.defaults(), new Set([amd64.digest, arm64.digest]))
  await a.kits.remove(amd64.digest)
  assert.equal((await a.kits.open()).digest, arm64.digest)
})

test('a forced build puts a kit that lost bytes right', async () => {
  await using a = await site()
  const { initrdPath, digest } = await a.kits.build()
  const bytes = await readFile(initrdPath)
  await writeFile(initrdPath, bytes.subarray(0, 1000))
  assert.equal((await a.kits.build({ force: true })).digest, digest)
  assert.ok((await readFile(initrdPath)).equals(bytes))
})

test('faults tells of kits whose files or manifest are not what they were', async () => {
  await using a = await site()
  const { initrdPath, kernelPath, digest } = await a.kits.build()
  assert.deepEqual(await a.kits.faults(), [])
  const initrd = await readFile(initrdPath)
  initrd[100]! ^= 1
  await writeFile(initrdPath, initrd)
  assert.deepEqual(await a.kits.faults(), [{ digest, why: 'its initrd is damaged' }])
  await rm(kernelPath)
  assert.deepEqual(await a.kits.faults(), [{ digest, why: 'its kernel is missing' }])
  await writeFile(join(dirname(kernelPath), 'manifest.json'), '{}')
  assert.deepEqual(await a.kits.faults(), [{ digest, why: 'its manifest was changed' }])
})

test('what a killed process left aside goes after a day', async () => {
  await using a = await site()
  const [old, young] = ['.tmp-old', '.tmp-young'].map((name) => join(a.directory, name))
  for (const folder of [old!, young!]) await mkdir(folder)
  const dayAgo = Date.now() / 1000 - 90_000
  await utimes(old!, dayAgo, dayAgo)
  await openKitDirectory(a.directory, quietLog)
  assert.deepEqual(await readdir(a.directory), ['.tmp-young'])
})

function deb(files: readonly (readonly [path: string, body: string | Uint8Array])[]): Uint8Array {
  const tar = Buffer.concat([
    ...files.flatMap(([path, body]) => {
      const bytes = Buffer.from(body as Uint8Array)
      const header = Buffer.alloc(512)
      header.write(path)
      header.write('0000755\0', 100)
      header.write(`${bytes.length.toString(8).padStart(11, '0')}\0`, 124)
      header.write('        0', 148)
      header.write(
        `${header
          .reduce((a, b) => a + b, 0)
          .toString(8)
          .padStart(6, '0')}\0 `,
        148,
      )
      return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]
    }),
    Buffer.alloc(1024),
  ])
  const member = (name: string, body: Buffer): Buffer => {
    const header = `${name.padEnd(16)}${'0'.padEnd(32)}${String(body.length).padEnd(10)}\`\n`
    return Buffer.concat([Buffer.from(header), body, Buffer.alloc(body.length % 2)])
  }
  return Buffer.concat([
    Buffer.from('!<arch>\n'),
    member('debian-binary', Buffer.from('2.0\n')),
    member('control.tar', Buffer.alloc(1024)),
    member('data.tar', tar),
  ])
}
