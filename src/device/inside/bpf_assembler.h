// BpfAssembler: a BPF program written as instructions, with labels. Cygnet makes its one small
// program while it runs, so that no build needs a compiler for BPF.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace cygnet {

class BpfAssembler {
 public:
  enum Register : uint8_t { kR0, kR1, kR2, kR3, kR4, kR5, kR6, kR7, kR8, kR9, kFrame };
  enum Size : uint8_t { kByte = BPF_B, kHalf = BPF_H, kWord = BPF_W, kLong = BPF_DW };
  // A place that jumps name before or after it is known.
  using Label = std::size_t;

  Label NewLabel() {
    places_.push_back(kUnknown);
    return places_.size() - 1;
  }
  void Place(Label label) { places_[label] = static_cast<int>(code_.size()); }

  void Move(Register to, Register from) { Emit(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
  void Set(Register to, int32_t value) { Emit(BPF_ALU64 | BPF_MOV | BPF_K, to, kR0, 0, value); }
  void Add(Register to, int32_t value) { Emit(BPF_ALU64 | BPF_ADD | BPF_K, to, kR0, 0, value); }
  void And(Register to, int32_t value) { Emit(BPF_ALU64 | BPF_AND | BPF_K, to, kR0, 0, value); }
  void Or(Register to, int32_t value) { Emit(BPF_ALU64 | BPF_OR | BPF_K, to, kR0, 0, value); }
  void ShiftRight(Register to, int32_t bits) {
    Emit(BPF_ALU64 | BPF_RSH | BPF_K, to, kR0, 0, bits);
  }
  // 16 bits in wire order become host order.
  void FromWire16(Register r) { Emit(BPF_ALU | BPF_END | BPF_TO_BE, r, kR0, 0, 16); }
  void Load(Size size, Register to, Register base, int16_t offset) {
    Emit(static_cast<uint8_t>(BPF_LDX | BPF_MEM | size), to, base, offset, 0);
  }
  void Store(Size size, Register base, int16_t offset, Register from) {
    Emit(static_cast<uint8_t>(BPF_STX | BPF_MEM | size), base, from, offset, 0);
  }
  void StoreValue(Size size, Register base, int16_t offset, int32_t value) {
    Emit(static_cast<uint8_t>(BPF_ST | BPF_MEM | size), base, kR0, offset, value);
  }
  void LoadMap(Register to, int fd) {
    Emit(BPF_LD | BPF_DW | BPF_IMM, to, static_cast<Register>(BPF_PSEUDO_MAP_FD), 0, fd);
    Emit(0, kR0, kR0, 0, 0);
  }
  void Call(int32_t helper) { Emit(BPF_JMP | BPF_CALL, kR0, kR0, 0, helper); }
  void Exit() { Emit(BPF_JMP | BPF_EXIT, kR0, kR0, 0, 0); }

  void Jump(Label to) { EmitJump(BPF_JMP | BPF_JA, kR0, kR0, 0, to); }
  void JumpIfEqual(Register r, int32_t value, Label to) {
    EmitJump(BPF_JMP | BPF_JEQ | BPF_K, r, kR0, value, to);
  }
  void JumpIfNotEqual(Register r, int32_t value, Label to) {
    EmitJump(BPF_JMP | BPF_JNE | BPF_K, r, kR0, value, to);
  }
  void JumpIfNotSame(Register a, Register b, Label to) {
    EmitJump(BPF_JMP | BPF_JNE | BPF_X, a, b, 0, to);
  }
  void JumpIfAbove(Register a, Register b, Label to) {
    EmitJump(BPF_JMP | BPF_JGT | BPF_X, a, b, 0, to);
  }
  void JumpIfAtMost(Register r, int32_t value, Label to) {
    EmitJump(BPF_JMP | BPF_JLE | BPF_K, r, kR0, value, to);
  }

  // The finished program. REQUIRES: every label that a jump names has its place.
  const std::vector<bpf_insn>& Finish() {
    for (const auto& [at, label] : jumps_) {
      code_[at].off = static_cast<int16_t>(places_[label] - static_cast<int>(at) - 1);
    }
    jumps_.clear();
    return code_;
  }

 private:
  static constexpr int kUnknown = -1;

  void Emit(uint8_t code, Register to, Register from, int16_t offset, int32_t value) {
    bpf_insn instruction{};
    instruction.code = code;
    instruction.dst_reg = static_cast<uint8_t>(to & 0xf);
    instruction.src_reg = static_cast<uint8_t>(from & 0xf);
    instruction.off = offset;
    instruction.imm = value;
    code_.push_back(instruction);
  }
  void EmitJump(uint8_t code, Register a, Register b, int32_t value, Label to) {
    jumps_.emplace_back(code_.size(), to);
    Emit(code, a, b, 0, value);
  }

  std::vector<bpf_insn> code_;
  std::vector<int> places_;
  std::vector<std::pair<std::size_t, Label>> jumps_;
};

}  // namespace cygnet
