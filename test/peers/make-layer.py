"""Makes the files of a layer with all that a file system can hold, below the directory that is given."""
import os, sys

top = os.fsencode(sys.argv[1])
CAPABILITY = bytes([1, 0, 0, 2, 0, 0x20, 0x80, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0])


def at(*names):
    return os.path.join(top, *[name if isinstance(name, bytes) else name.encode() for name in names])


def write(path, data=b'', mode=0o644, uid=0, gid=0):
    with open(path, 'wb') as file:
        file.write(data)
    os.chown(path, uid, gid)
    os.chmod(path, mode)


def seal(directory):
    """Times last, deepest first, odd and exact."""
    for where, directories, files in os.walk(directory, topdown=False):
        for number, name in enumerate(sorted(files) + sorted(directories)):
            path = os.path.join(where, name)
            ns = 1_500_000_000_123_456_789 + number * 1_000_000_007
            os.utime(path, ns=(ns, ns), follow_symlinks=False)
    os.utime(directory, ns=(1_400_000_000_000_000_001,) * 2)


os.makedirs(at('etc', 'deep', 'er'))
write(at('etc', 'passwd'), b'root:x:0:0::/root:/bin/sh\n')
write(at('etc', 'shadow'), b'secret\n', 0o640, 0, 42)
write(at('etc', 'suid'), b'#!\n', 0o6755, 12, 34)
write(at('etc', 'deep', 'er', 'file'), b'deep\n', uid=3_000_000_000, gid=4_000_000_000)
os.mkdir(at('tmp'))
os.chmod(at('tmp'), 0o1777)
write(at('capable'), b'\x7fELF', 0o755)
os.setxattr(at('capable'), 'security.capability', CAPABILITY)
os.setxattr(at('capable'), 'user.text', b'value with = and \n')
os.setxattr(at('etc'), 'user.directory', b'\x00\xff')
os.setxattr(at('etc'), 'trusted.mine', b'')
write(at('n' * 255), b'long name\n')
write(at('\u00e4\u00f6\u00fc-\u2603'), b'UTF-8\n')
write(at(b'not-utf8-\xff\xfe'), b'bytes\n')
long = at(*['directory-with-a-long-name-%02d' % n for n in range(20)])
os.makedirs(long)
write(os.path.join(long, b'at the end'), b'of a long path\n')
os.symlink(b'../' * 60 + b'somewhere', os.path.join(long, b'link'))
os.symlink(b'etc/passwd', at('relative'))
os.symlink(b'/etc/shadow', at('absolute'))
os.lchown(at('absolute'), 7, 8)
os.symlink(b'nowhere/\xff', at('dangling'))
os.link(at('etc', 'passwd'), at('hard'))
os.link(at('etc', 'passwd'), at('etc', 'hard too'))
os.link(at('relative'), at('hard link of a symlink'))
os.mkdir(at('dev'))
os.mknod(at('dev', 'null'), 0o020666, os.makedev(1, 3))
os.mknod(at('dev', 'big'), 0o020600, os.makedev(4095, 1048575))
os.mknod(at('dev', 'sda'), 0o060660, os.makedev(8, 0))
os.mkfifo(at('dev', 'pipe'))
os.link(at('dev', 'null'), at('dev', 'null2'))
with open(at('sparse'), 'wb') as file:
    for offset in (0, 1 << 20, 5 << 20):
        file.seek(offset)
        file.write(b'data at %d' % offset)
    file.truncate((6 << 20) + 5)
with open(at('hole'), 'wb') as file:
    file.truncate(3 << 20)
write(at('empty'))
write(at('block'), b'b' * 512)
write(at('old'), b'before 1970')
write(at('spaces and \n newline'), b'x')
seal(top)
os.utime(at('old'), ns=(-1_250_000_000,) * 2)
