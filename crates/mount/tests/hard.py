"""Programs that are hard on a file system, each with what it expects. The folder is the first argument."""
import ctypes
import errno
import mmap
import os
import subprocess
import sys
import threading

os.chdir(sys.argv[1])


def shared_mapping():
    with open("mapped", "w+b") as file:
        file.truncate(3 * 4096 + 100)
        with mmap.mmap(file.fileno(), 0) as mapping:
            mapping[4090:4100] = b"0123456789"
            mapping[-3:] = b"end"
            mapping.flush()
    content = open("mapped", "rb").read()
    assert len(content) == 12388 and content[4090:4100] == b"0123456789" and content[-3:] == b"end"


def holes():
    with open("holes", "w+b") as file:
        file.truncate(1 << 20)
        os.pwrite(file.fileno(), b"x" * 5000, 300_000)
        data = os.lseek(file.fileno(), 0, os.SEEK_DATA)
        hole = os.lseek(file.fileno(), data, os.SEEK_HOLE)
        assert 290_000 < data <= 300_000 and 305_000 <= hole < 320_000, (data, hole)
        libc = ctypes.CDLL(None, use_errno=True)
        fallocate = lambda mode, offset, length: libc.fallocate(
            file.fileno(), mode, ctypes.c_long(offset), ctypes.c_long(length))
        assert fallocate(3, 300_000, 2000) == 0
        assert os.pread(file.fileno(), 2002, 299_999) == b"\0" * 2001 + b"x"
        assert fallocate(0, 1 << 20, 8192) == 0
        assert os.fstat(file.fileno()).st_size == (1 << 20) + 8192
        assert fallocate(1, 2 << 20, 4096) == 0
        assert os.fstat(file.fileno()).st_size == (1 << 20) + 8192
        try:
            os.lseek(file.fileno(), 3 << 20, os.SEEK_DATA)
            raise AssertionError("there are no data after the end")
        except OSError as error:
            assert error.errno == errno.ENXIO


def open_and_gone():
    with open("gone", "w+b") as file:
        os.unlink("gone")
        file.write(b"still here")
        file.flush()
        assert os.fstat(file.fileno()).st_nlink == 0
        assert os.pread(file.fileno(), 100, 0) == b"still here"
    os.mkdir("left")
    folder = os.open("left", os.O_RDONLY)
    os.rmdir("left")
    try:
        os.open("late", os.O_CREAT | os.O_WRONLY, dir_fd=folder)
        raise AssertionError("a directory that is gone takes nothing")
    except FileNotFoundError:
        os.close(folder)
    try:
        os.close(os.open(".", os.O_TMPFILE | os.O_RDWR))
    except OSError as error:
        assert error.errno in (errno.EOPNOTSUPP, errno.EISDIR), error


def storm():
    os.makedirs("storm/a")
    os.makedirs("storm/b")

    def rename(number):
        for step in range(200):
            path = f"storm/{'ab'[step % 2]}/{number}"
            with open(path + ".new", "w") as file:
                file.write(f"{number} {step}\n" * 50)
            os.rename(path + ".new", path)
            os.rename(path, f"storm/{'ba'[step % 2]}/{number}")

    threads = [threading.Thread(target=rename, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(os.listdir("storm/a") + os.listdir("storm/b")) == sorted(map(str, range(6)))
    for number in range(6):
        assert open(f"storm/a/{number}").read() == f"{number} 199\n" * 50


def many_names():
    os.mkdir("many")
    for number in range(3000):
        open(f"many/{number}", "w").close()
    seen = []
    with os.scandir("many") as entries:
        for entry in entries:
            # What is removed and made while it is listed does not hide the others.
            seen.append(entry.name)
            if int(entry.name) % 3 == 0 and int(entry.name) < 10_000:
                os.unlink(entry.path)
                open(f"many/{int(entry.name) + 10_000}", "w").close()
    assert set(map(str, range(3000))) <= set(seen) and len(seen) == len(set(seen))
    assert len(os.listdir("many")) == 3000
    for number in range(1200):
        os.link("many/1", f"many/link{number}")
    assert os.stat("many/1").st_nlink == 1201
    subprocess.run(["rm", "-rf", "many/2", *(f"many/link{number}" for number in range(0, 1200, 2))], check=True)
    assert os.stat("many/1").st_nlink == 601


def deep():
    # Deeper than a path can say, made and removed one step at a time.
    here = os.open(".", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deeper")
        os.chdir("deeper")
    os.fchdir(here)
    os.close(here)
    subprocess.run(["rm", "-rf", "deeper"], check=True)


def programs():
    subprocess.run(["cp", "/bin/true", "true"], check=True)
    os.chmod("true", 0o755)
    subprocess.run(["./true"], check=True)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
    script = """set -e; $GIT init -q one; cd one; for i in $(seq 60); do echo $i >$i; done; $GIT add .;
        $GIT commit -qm first; seq 1000 >7; $GIT commit -qam second; $GIT gc -q; cd ..; $GIT clone -q one two;
        cd two; $GIT fsck --strict; test "$($GIT rev-list --count HEAD)" = 2; cmp 7 ../one/7; cd ..; rm -rf one
        tar -cf two.tar two & tar -cf again.tar two & wait; mkdir three; tar -C three -xf two.tar; diff -r two three/two
        rm two.tar again.tar; chmod -R u+w three; rm -rf three"""
    subprocess.run(["bash", "-c", script.replace("$GIT", " ".join(git))], check=True)


for part in (shared_mapping, holes, open_and_gone, storm, many_names, deep, programs):
    part()
    print(part.__name__)
