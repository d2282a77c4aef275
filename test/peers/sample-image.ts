/** A multi-layer image with the things that go wrong in images, made with GNU tar. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './docker-registry.ts'

/** Plain tars, lowest first. */
export function sampleLayers(): Buffer[] {
  return [baseLayer(), changeLayer(), opaqueLayer()]
}

function baseLayer(): Buffer {
  return tarOfDirectory((root) => {
    for (const name of ['bin', 'etc', 'usr/share/doc', 'var/lib', 'dev', 'tmp'])
      mkdirSync(join(root, name), { recursive: true })
    writeFileSync(join(root, 'bin/busybox'), randomBytes(300_000), { mode: 0o755 })
    for (const name of ['sh', 'ls', 'cat']) linkSync(join(root, 'bin/busybox'), join(root, 'bin', name))
    writeFileSync(join(root, 'bin/su'), 'su', { mode: 0o755 })
    run('chmod', '4755', join(root, 'bin/su'))
    run('chmod', '1777', join(root, 'tmp'))
    symlinkSync('../../../../etc/passwd', join(root, 'etc/escape'))
    symlinkSync('/etc/shadow', join(root, 'etc/absolute'))
    writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\n')
    for (const name of ['kept', 'gone', 'replaced']) {
      mkdirSync(join(root, 'var/lib', name))
      for (let i = 0; i < 50; i++) writeFileSync(join(root, 'var/lib', name, `file-${i}`), randomBytes(i * 37))
    }
    writeFileSync(join(root, 'usr/share/doc', `${'long-name-'.repeat(20)}.txt`), 'long')
    writeFileSync(join(root, 'usr/share/doc/ünïcode ☃'), 'snow')
    writeFileSync(join(root, 'var/lib/sparse'), '')
    truncateSync(join(root, 'var/lib/sparse'), 3_000_000)
    writeFileSync(join(root, 'var/lib/sparse'), 'end', { flag: 'a' })
    run('mknod', join(root, 'dev/null'), 'c', '1', '3')
    run('mkfifo', join(root, 'dev/pipe'))
    run('chown', '1000:2000', join(root, 'var/lib/kept/file-1'))
    spawnSync('python3', [
      '-c',
      'import os,sys; os.setxattr(sys.argv[1], "user.comment", b"\\x00\\x80text")',
      join(root, 'etc/passwd'),
    ])
    utimesSync(join(root, 'etc/passwd'), 1_000_000_000, 1_000_000_000)
  })
}

function changeLayer(): Buffer {
  return tarOfDirectory((root) => {
    mkdirSync(join(root, 'var/lib'), { recursive: true })
    writeFileSync(join(root, 'var/lib/.wh.gone'), '')
    writeFileSync(join(root, 'var/lib/replaced-later'), 'x')
    mkdirSync(join(root, 'bin'))
    writeFileSync(join(root, 'bin/.wh.cat'), '')
    writeFileSync(join(root, 'bin/added'), randomBytes(2_000_000), { mode: 0o700 })
    mkdirSync(join(root, 'etc'))
    writeFileSync(join(root, 'etc/escape'), 'now a file')
  })
}

function opaqueLayer(): Buffer {
  return tarOfDirectory((root) => {
    mkdirSync(join(root, 'var/lib/replaced'), { recursive: true })
    writeFileSync(join(root, 'var/lib/replaced/.wh..wh..opq'), '')
    writeFileSync(join(root, 'var/lib/replaced/only'), 'only')
  })
}

function tarOfDirectory(fill: (root: string) => void): Buffer {
  const root = mkdtempSync(join(tmpdir(), 'bareboat-sample-'))
  try {
    fill(root)
    const args = ['--create', '--sparse', '--xattrs', '--format=pax', '--sort=name', '--numeric-owner', '-C', root, '.']
    const { status, stdout, stderr } = spawnSync('tar', args, { maxBuffer: 256 << 20 })
    if (status !== 0) throw new Error(String(stderr))
    return stdout
  } finally {
    rmSync(root, { recursive: true })
  }
}
