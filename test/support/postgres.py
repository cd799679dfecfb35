#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL server on a Unix socket, from Debian's package; its packaged cluster is neither used nor started.

As a program: postgres.py COMMAND… runs the command with POSTERN_TEST_POSTGRES, how to connect, in its environment."""
import glob
import os
import pathlib
import shutil
import signal
import subprocess
import sys

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from support import process


def programs():
    """The newest server's programs."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: int(path.split("/")[4]))
    if not found:
        raise RuntimeError("no PostgreSQL server is installed (contrib/packages.txt names the package)")
    return os.path.dirname(found[-1])


class Postgres:
    """One server in `directory`. It refuses to run as root, so it then runs as nobody. What is committed survives a kill of the server,
    not a power cut: nothing is synced to disk."""

    def __init__(self, directory, buffers="16MB"):
        self.buffers = buffers
        self.data = os.path.join(directory, "data")
        self.log = os.path.join(directory, "postgres.log")
        self.bin = programs()
        root = os.geteuid() == 0
        self.as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=QUIT"] if root else []
        os.makedirs(directory, exist_ok=True)
        if root:
            shutil.chown(directory, "nobody", "nogroup")
        self.directory = directory
        subprocess.run([*self.as_user, os.path.join(self.bin, "initdb"), "-D", self.data, "-U", "postern", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=directory)
        self.process = None
        self.start()

    def start(self):
        command = [*self.as_user, os.path.join(self.bin, "postgres"), "-D", self.data, "-k", self.directory, "-h", "", "-F", "-c", "shared_buffers=" + self.buffers,
                   "-c", "max_connections=40", "-c", "log_min_messages=warning"]
        # A server that loses its postmaster ends by itself; SIGQUIT is its way to end at once.
        self.process = process.Process(command, "postgres", self.log, death_signal=signal.SIGQUIT, cwd=self.directory)
        process.wait_until(lambda: self._ready() or not self.process.alive(), "PostgreSQL to start")
        if not self.process.alive():
            raise RuntimeError("PostgreSQL does not start:\n" + self.process.log_text())

    def _ready(self):
        return subprocess.run([os.path.join(self.bin, "pg_isready"), "-q", "-h", self.directory], check=False).returncode == 0

    def connection(self, database="postgres"):
        """How to connect, as libpq reads it."""
        return f"host={self.directory} user=postern dbname={database}"

    def sql(self, statement, database="postgres"):
        """Rows of text that one statement gives, separated by tabs."""
        done = subprocess.run([os.path.join(self.bin, "psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                               self.connection(database), "-c", statement], check=True, stdout=subprocess.PIPE)
        return done.stdout.decode().splitlines()

    def create(self, database):
        self.sql(f"CREATE DATABASE {database} TEMPLATE template0")

    def drop(self, database):
        self.sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def kill(self):
        """A crash of the whole server."""
        self.process.kill()

    def stop(self):
        self.process.stop(signal.SIGINT)


def main(command):
    server = Postgres(os.path.join(process.temporary_directory("postgres-"), "server"))
    try:
        return subprocess.run(command, env=dict(os.environ, POSTERN_TEST_POSTGRES=server.connection()), check=False).returncode
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
