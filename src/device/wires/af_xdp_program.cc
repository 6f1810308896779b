#include "device/wires/af_xdp_program.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <cerrno>
#include <cstddef>

namespace cygnet {

// return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS)
int XdpProgram::Load(uint32_t queues, bool several_buffers) {
  map_ = UniqueFd(bpf_map_create(BPF_MAP_TYPE_XSKMAP, "cygnet_sockets", sizeof(uint32_t),
                                 sizeof(uint32_t), queues, nullptr));
  if (!map_.valid()) return errno;
  const bpf_insn code[] = {
      {.code = BPF_LDX | BPF_MEM | BPF_W,
       .dst_reg = BPF_REG_2,
       .src_reg = BPF_REG_1,
       .off = offsetof(xdp_md, rx_queue_index),
       .imm = 0},
      {.code = BPF_LD | BPF_IMM | BPF_DW,
       .dst_reg = BPF_REG_1,
       .src_reg = BPF_PSEUDO_MAP_FD,
       .off = 0,
       .imm = map_.get()},
      {.code = 0, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K,
       .dst_reg = BPF_REG_3,
       .src_reg = 0,
       .off = 0,
       .imm = XDP_PASS},
      {.code = BPF_JMP | BPF_CALL,
       .dst_reg = 0,
       .src_reg = 0,
       .off = 0,
       .imm = BPF_FUNC_redirect_map},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  };
  LIBBPF_OPTS(bpf_prog_load_opts, options);
  options.expected_attach_type = BPF_XDP;
  if (several_buffers) options.prog_flags = BPF_F_XDP_HAS_FRAGS;
  program_ = UniqueFd(bpf_prog_load(BPF_PROG_TYPE_XDP, "cygnet_wire", "GPL", code,
                                    sizeof(code) / sizeof(code[0]), &options));
  return program_.valid() ? 0 : errno;
}

int XdpProgram::Attach(int ifindex, uint32_t mode) {
  LIBBPF_OPTS(bpf_link_create_opts, options);
  options.flags = mode;
  link_ = UniqueFd(bpf_link_create(program_.get(), ifindex, BPF_XDP, &options));
  return link_.valid() ? 0 : errno;
}

}  // namespace cygnet
