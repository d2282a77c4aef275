"""Changes a root file system as a workload would: `script` a fixed set of all kinds, a number a random one of that seed."""
import os, random, shutil, socket, stat, sys

root, what = os.fsencode(sys.argv[1]), sys.argv[2]


def at(name):
    return os.path.join(root, name if isinstance(name, bytes) else name.encode())


def write(name, data=b'new', mode=0o644):
    with open(at(name), 'wb') as file:
        file.write(data)
    os.chmod(at(name), mode)


def script():
    write('etc/suid', b'#!changed\n', 0o4755)
    with open(at('block'), 'ab') as file:
        file.write(b'appended')
    os.unlink(at('empty'))
    shutil.rmtree(at('directory-with-a-long-name-00'))
    os.mkdir(at('directory-with-a-long-name-00'))
    write('directory-with-a-long-name-00/afresh')
    shutil.rmtree(at('became a directory'))
    write('became a directory', b'a file')
    os.unlink(at('relative'))
    os.mkdir(at('relative'))
    write('relative/inside')
    shutil.move(os.fsdecode(at('opaque')), os.fsdecode(at('renamed')))
    os.chmod(at('etc/deep'), 0o700)
    os.chown(at('second'), 1234, 5678)
    os.setxattr(at('second'), 'user.added', b'\x00\xff=')
    os.removexattr(at('capable'), 'user.text')
    os.setxattr(at('etc'), 'trusted.mine', b'1')
    os.utime(at('old'), ns=(1_600_000_000_000_000_123,) * 2)
    os.link(at('second'), at('second-too'))
    os.unlink(at('dev/null2')) if os.path.lexists(at('dev/null2')) else None
    os.mkdir(at('srv'))
    os.mknod(at('srv/device'), 0o020600, os.makedev(10, 200))
    os.mkfifo(at('srv/pipe'))
    os.symlink(b'\xff/nowhere', at('srv/link'))
    write('srv/' + 'n' * 255)
    write(b'srv/not-utf8-\xfe')
    with open(at('srv/sparse'), 'wb') as file:
        file.seek(1 << 24)
        file.write(b'end')
    socket.socket(socket.AF_UNIX).bind(os.path.join(root, b'srv/socket'))
    os.chmod(root, 0o711)


def every(kinds):
    found = []
    for where, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(where, name)
            if kinds(os.lstat(path).st_mode):
                found.append(path)
    return sorted(found)


def random_changes(seed):
    rng = random.Random(seed)
    fresh = 0
    for _ in range(rng.randrange(1, 40)):
        files, directories = every(lambda mode: not stat.S_ISDIR(mode)), every(stat.S_ISDIR) + [root]
        plain = [path for path in files if stat.S_ISREG(os.lstat(path).st_mode)]
        kind = rng.choice(['write', 'remove', 'rmtree', 'new', 'mkdir', 'move', 'link', 'mode', 'touch', 'swap'])
        fresh += 1
        new = os.path.join(rng.choice(directories), b'new-%d' % fresh)
        if kind == 'write' and plain:
            with open(rng.choice(plain), 'r+b') as file:
                file.write(b'%d' % fresh)
        elif kind == 'remove' and files:
            os.unlink(rng.choice(files))
        elif kind == 'rmtree':
            path = rng.choice(directories)
            if path != root and rng.random() < 0.5:
                shutil.rmtree(path)
                if rng.random() < 0.5:
                    os.mkdir(path)
        elif kind == 'new':
            with open(new, 'wb') as file:
                file.write(b'x' * rng.randrange(2000))
        elif kind == 'mkdir':
            os.mkdir(new)
        elif kind == 'move' and files:
            os.rename(rng.choice(files), new)
        elif kind == 'link' and files:
            os.link(rng.choice(files), new, follow_symlinks=False)
        elif kind == 'mode' and plain:
            os.chmod(rng.choice(plain), rng.choice([0o600, 0o755, 0o4711]))
        elif kind == 'touch' and files:
            os.utime(rng.choice(files), ns=(rng.randrange(10**18),) * 2, follow_symlinks=False)
        elif kind == 'swap' and files:
            path = rng.choice(files)
            os.unlink(path)
            os.mkdir(path)


script() if what == 'script' else random_changes(int(what))
