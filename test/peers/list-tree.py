"""Lists what is below a directory as JSON, one line each; all names and values are bytes as ISO 8859-1."""
import hashlib, json, os, stat, sys

KINDS = {stat.S_IFREG: 'file', stat.S_IFDIR: 'directory', stat.S_IFLNK: 'symlink', stat.S_IFCHR: 'character',
         stat.S_IFBLK: 'block', stat.S_IFIFO: 'fifo', stat.S_IFSOCK: 'socket'}
root = os.fsencode(sys.argv[1])


def content(path):
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def show(path):
    full = os.path.join(root, path) if path else root
    s = os.lstat(full)
    kind = KINDS[stat.S_IFMT(s.st_mode)]
    xattrs = {n: os.getxattr(full, n, follow_symlinks=False).hex() for n in os.listxattr(full, follow_symlinks=False)}
    device = kind in ('character', 'block')
    print(json.dumps({
        'path': path.decode('latin1'), 'kind': kind, 'mode': s.st_mode & 0o7777, 'uid': s.st_uid, 'gid': s.st_gid,
        'mtime': str(s.st_mtime_ns), 'size': s.st_size if kind in ('file', 'symlink') else 0,
        'content': content(full) if kind == 'file' else '',
        'target': os.readlink(full).decode('latin1') if kind == 'symlink' else '',
        'device': f'{os.major(s.st_rdev)}:{os.minor(s.st_rdev)}' if device else '',
        'xattrs': xattrs, 'linkCount': s.st_nlink, 'inode': s.st_ino,
    }))
    if kind == 'directory':
        for name in sorted(os.listdir(full)):
            show(os.path.join(path, name))


sys.setrecursionlimit(10000)
show(b'')
