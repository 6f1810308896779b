"""A program that executes JSON lines from stdin and answers each with one on stdout, run where the test wants:
behind the shim, in front of the kernel, without privilege.
"""

import json
import os
import subprocess


class LineProgram:
    """`script` as a program in that namespace; `argv` is put in front of it."""

    def __init__(self, namespace, script, argv=()):
        self.proc = namespace.popen([*argv, "/usr/bin/python3", os.path.abspath(script)],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask_line(self, request):
        self.proc.stdin.write(json.dumps(request) + "\n")
        self.proc.stdin.flush()
        line = self.proc.stdout.readline()
        if not line:
            raise RuntimeError(f"the program ended: {self.proc.wait()}")
        return json.loads(line)

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(20)
        self.proc.stdout.close()
