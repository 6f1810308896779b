#!/usr/bin/env python3
"""Checks the machine code of Cygnet's AES-GCM kernels for timing that depends on secrets.

    check_constant_time.py OBJECT...

Keys, text and derived values are in vector registers. In the disassembly of each object:

1. No instruction converts vectors to flags, masks or addresses, or has data-dependent time: ptest,
   movmsk, comparisons into a mask register, gather, scatter, division.
2. A value that is moved from a vector to a general register, or spilled from a vector and read
   back, is tracked. It may be stored, shifted and combined, but must not become an address, or a
   flag that a jump or conditional move reads. The verdict over an ICV is allowed: in the function
   that opens, a jump that tests one value for zero.
3. An object defines only the table of its kernel: the linker must not use its code on other CPUs.

Values in memory other than the stack are not tracked, since lengths and pointers are also there.
constant_time_test.cc compares the executed instructions under different secrets.
"""

import re
import subprocess
import sys

FORBIDDEN = re.compile(
    r"^(v?ptest|vtestp[sd]|v?pmovmsk|v?movmskp|kortest|ktest|v?p?gather|v?p?scatter|"
    r"vptestn?m|vpmov[bwdq]2m|v?u?comis|div|idiv)")
ALIASES = {}
for _i, _names in enumerate((("rax", "eax", "ax", "al", "ah"), ("rbx", "ebx", "bx", "bl", "bh"),
                             ("rcx", "ecx", "cx", "cl", "ch"), ("rdx", "edx", "dx", "dl", "dh"),
                             ("rsi", "esi", "si", "sil"), ("rdi", "edi", "di", "dil"),
                             ("rbp", "ebp", "bp", "bpl"), ("rsp", "esp", "sp", "spl"))):
    for _n in _names:
        ALIASES[_n] = _names[0]
for _i in range(8, 16):
    for _s in ("", "d", "w", "b"):
        ALIASES[f"r{_i}{_s}"] = f"r{_i}"
CALL_CLOBBERS = ("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11")
SETS_FLAGS = re.compile(
    r"^(add|sub|and|or|xor|cmp|test|sh[lr]|sa[lr]|inc|dec|neg|bt|imul|adc|sbb)[bwlq]?$")
READS_FLAGS = re.compile(r"^(j(?!mp)|cmov|set|adc|sbb)")
STACK = re.compile(r"^(-?0x[0-9a-f]+|-?\d+)?\(%(rsp|rbp)\)$")
CODE = re.compile(
    r"^\s+([0-9a-f]+):\s+(?:(?:rep|repz|lock|bnd|notrack|data16|cs) )*(\S+)\s*(.*)$")
VECTOR = re.compile(r"^%([xyz])mm(\d+)")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def split_operands(text):
    return [p.strip() for p in re.split(r",(?![^(]*\))", text) if p.strip()]


class State:
    """The registers, stack slots and flags that hold secrets at one point of a function."""

    def __init__(self):
        self.registers = frozenset()
        self.public = frozenset()   # vector registers without secrets; all others have them
        self.slots = frozenset()    # (base, byte) of the stack
        self.flags = ""             # the instruction that set the flags from a secret

    def key(self):
        return (self.registers, self.public, self.slots, self.flags)

    def joined(self, other):
        out = State()
        out.registers = self.registers | other.registers
        out.public = self.public & other.public
        out.slots = self.slots | other.slots
        out.flags = self.flags or other.flags
        return out


class Function:
    """Tracks values from vectors along the jumps of one function."""

    def __init__(self, name):
        self.name = name
        self.code = []  # address, instruction, operands, jump target
        self.problems = {}
        self.verdicts = set()

    def check(self):
        places = {line[0]: i for i, line in enumerate(self.code)}
        before = {0: State()}
        work = [0]
        while work:
            i = work.pop()
            state = self.step(i, before[i])
            _, name, _, target = self.code[i]
            after = [] if re.match(r"^(jmp|ret|hlt|ud2)", name) else [i + 1]
            if name.startswith("j") and target in places:
                after.append(places[target])
            for n in after:
                if n >= len(self.code):
                    continue
                joined = before[n].joined(state) if n in before else state
                if n not in before or joined.key() != before[n].key():
                    before[n] = joined
                    work.append(n)

    @staticmethod
    def registers_in(operand):
        return {ALIASES[r] for r in re.findall(r"%(\w+)", operand) if r in ALIASES}

    @staticmethod
    def stack_bytes(operand, size):
        found = STACK.match(operand)
        if not found:
            return frozenset()
        begin = int(found.group(1) or "0", 0)
        return frozenset((found.group(2), begin + i) for i in range(size))

    def secret(self, operand, state, size=1):
        if operand.startswith("%"):
            vector = VECTOR.match(operand)
            if vector:
                return vector.group(2) not in state.public
            return bool(self.registers_in(operand) & state.registers)
        if "(%rsp," in operand:  # at an unknown offset
            return bool(state.slots)
        return bool(self.stack_bytes(operand, size) & state.slots)

    def write(self, operand, secret, size, state):
        vector = VECTOR.match(operand)
        if vector:
            n = frozenset((vector.group(2),))
            state.public = state.public - n if secret else state.public | n
        elif operand.startswith("%"):
            r = self.registers_in(operand)
            state.registers = state.registers | r if secret else state.registers - r
        else:
            touched = self.stack_bytes(operand, size)
            state.slots = state.slots | touched if secret else state.slots - touched

    def step(self, i, before):
        address, name, operands, _ = self.code[i]
        state = before.joined(before)

        def problem(what):
            self.problems[i] = f"{self.name} {address}: {what}: {name} {','.join(operands)}"

        if name.startswith("nop"):
            return state
        if FORBIDDEN.match(name):
            problem("forbidden instruction")
        if name.startswith(("vpcmp", "vcmp")) and operands and operands[-1].startswith("%k"):
            problem("comparison into a mask")
        for operand in operands:
            if "(" in operand and self.registers_in(operand) & state.registers:
                problem("address from a secret")
        if READS_FLAGS.match(name) and state.flags:
            one_value = re.match(r"^(or|test (%\w+),\2$)", state.flags)
            if one_value and name in ("je", "jne") and "false>" in self.name:
                self.verdicts.add(i)
            else:
                problem(f"flags from a secret, set by {state.flags}")
        self.follow(name, operands, state)
        return state

    def follow(self, name, operands, state):
        if name.startswith("call"):
            state.registers -= set(CALL_CLOBBERS)
            state.public = frozenset()
            state.flags = ""
            return
        if not operands:
            return
        sources, target = operands[:-1], operands[-1]
        size = 8
        for operand in operands:
            vector = VECTOR.match(operand)
            if vector:
                size = max(size, {"x": 16, "y": 32, "z": 64}[vector.group(1)])
        if re.match(r"^v?(mov|pextr)[dq]$", name):
            size = 8
        vector_target = VECTOR.match(target)
        if vector_target:
            zeroed = re.match(r"^vpxor", name) and len(set(sources)) == 1
            moves = re.match(r"^v(mov|pinsr|pbroadcast|punpck|insert)", name)
            word = name in ("vmovq", "vmovd")  # like a general register
            known = word or all(o.startswith(("%", "$")) or STACK.match(o) for o in sources)
            public = zeroed or (moves and known and
                                not any(self.secret(o, state, size) for o in sources))
            self.write(target, not public, size, state)
            return
        secret = any(self.secret(o, state, size) for o in sources)
        if SETS_FLAGS.match(name):
            zeroed = name.startswith(("xor", "sub")) and sources == [target]
            used = (secret or self.secret(target, state)) and not zeroed
            state.flags = f"{name} {','.join(operands)}" if used else ""
            if not re.match(r"^(cmp|test|bt)", name):
                self.write(target, used, size, state)
        elif name.startswith("lea"):  # the address, not the content
            self.write(target, bool(self.registers_in(sources[0]) & state.registers), size, state)
        elif name.startswith(("mov", "vmov", "pop")):
            self.write(target, secret, size, state)
        elif name.startswith("set") or len(sources) > 1:
            self.write(target, secret, size, state)
        elif secret:
            self.write(target, True, size, state)


def check(path):
    problems = []
    for line in run("nm", "-C", path).splitlines():
        found = re.match(r"^[0-9a-f]+ ([A-Zuvw]) (.*)$", line)
        if found and not re.search(r"vaes_gcm::kAvx\w+Kernel$", found.group(2)):
            problems.append(f"defines {found.group(2)} ({found.group(1)}) outside its kernel")
    functions = []
    for line in run("objdump", "-dC", "--no-show-raw-insn", path).splitlines():
        begins = re.match(r"^[0-9a-f]+ <(.*)>:$", line)
        if begins:
            functions.append(Function(begins.group(1)))
            continue
        code = CODE.match(line)
        if code and functions:
            text = re.sub(r"\s*(#|<).*$", "", code.group(3))
            functions[-1].code.append((code.group(1), code.group(2), split_operands(text), text))
    for function in functions:
        function.check()
        problems += function.problems.values()
    verdicts = sum(len(f.verdicts) for f in functions)
    aes = run("objdump", "-d", "--no-show-raw-insn", path).count("vaesenc")
    if aes == 0 or verdicts == 0:
        problems.append(f"{aes} AES rounds and {verdicts} verdicts: not an AES-GCM kernel")
    for problem in problems:
        print(f"{path}: {problem}")
    print(f"{path}: {len(functions)} functions, {verdicts} jumps on a verdict, "
          f"{len(problems)} problems")
    return not problems


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(0 if all([check(path) for path in sys.argv[1:]]) else 1)
