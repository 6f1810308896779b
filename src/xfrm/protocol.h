// Numbers and layouts of NETLINK_XFRM for the files of this folder, in addition to the installed
// <linux/xfrm.h>. Additions of newer kernels have our own names here, since newer headers have them
// as enum members, which #ifndef cannot detect.
#pragma once

#include <linux/netlink.h>
#include <linux/xfrm.h>

#include <cstddef>
#include <cstdint>

namespace cygnet::xfrm {

// Attributes after XFRMA_MTIMER_THRESH (32), kernels 6.10 … 6.14.
inline constexpr uint16_t kAttrSaDir = 33;
inline constexpr uint16_t kAttrNatKeepalive = 34;
inline constexpr uint16_t kAttrSaPcpu = 35;
inline constexpr uint16_t kAttrIptfsDropTime = 36;
inline constexpr uint16_t kAttrIptfsReorderWindow = 37;
inline constexpr uint16_t kAttrIptfsDontFragment = 38;
inline constexpr uint16_t kAttrIptfsInitDelay = 39;
inline constexpr uint16_t kAttrIptfsMaxQueueSize = 40;
inline constexpr uint16_t kAttrIptfsPacketSize = 41;
inline constexpr std::size_t kAttributeTypes = 42;

// XFRM_MSG_MIGRATE_STATE and its flags (XFRM_MIGRATE_STATE_*), kernel 7.2.
inline constexpr uint16_t kMsgMigrateState = 0x29;
inline constexpr uint32_t kMigrateClearOffload = 1;
inline constexpr uint32_t kMigrateUpdateHostSelector = 2;
struct MigrateState {  // xfrm_user_migrate_state
  xfrm_usersa_id id;
  xfrm_address_t new_daddr;
  xfrm_address_t new_saddr;
  xfrm_mark old_mark;
  xfrm_selector new_sel;
  uint32_t new_reqid;
  uint32_t flags;
  uint16_t new_family;
  uint16_t reserved;
};
static_assert(sizeof(MigrateState) == 132 && offsetof(MigrateState, new_sel) == 64);

inline constexpr unsigned kOffloadPacket = 4;  // XFRM_OFFLOAD_PACKET, kernel 6.2

inline constexpr uint8_t kModeIptfs = 5;
inline constexpr uint8_t kModeMax = 6;  // one past the last

inline constexpr uint16_t kEncapEspInUdp = 2;  // UDP_ENCAP_ESPINUDP
inline constexpr std::size_t kMaxReplayWords = XFRMA_REPLAY_ESN_MAX / 32;
inline constexpr uint32_t kLegacyReplayWindow = 32;  // bits in xfrm_replay_state.bitmap
inline constexpr uint8_t kAnyProto = 255;            // IPSEC_PROTO_ANY

// Fixed parts of structures that end in a flexible array, which C++ values cannot have.
struct AlgorithmHeader {  // xfrm_algo
  char alg_name[64];
  uint32_t alg_key_len;  // in bits
};
struct AuthHeader {  // xfrm_algo_auth
  char alg_name[64];
  uint32_t alg_key_len;
  uint32_t alg_trunc_len;  // in bits
};
struct AeadHeader {  // xfrm_algo_aead
  char alg_name[64];
  uint32_t alg_key_len;
  uint32_t alg_icv_len;  // in bits
};
struct ReplayEsnHeader {  // xfrm_replay_state_esn
  uint32_t bmp_len;
  uint32_t oseq;
  uint32_t seq;
  uint32_t oseq_hi;
  uint32_t seq_hi;
  uint32_t replay_window;
};
static_assert(sizeof(AlgorithmHeader) == sizeof(xfrm_algo));
static_assert(sizeof(AuthHeader) == sizeof(xfrm_algo_auth));
static_assert(sizeof(AeadHeader) == sizeof(xfrm_algo_aead));
static_assert(sizeof(ReplayEsnHeader) == sizeof(xfrm_replay_state_esn));

// The fixed parts of messages are wire format: a different layout must not compile.
static_assert(sizeof(xfrm_selector) == 56 && sizeof(xfrm_id) == 24);
static_assert(sizeof(xfrm_lifetime_cfg) == 64 && sizeof(xfrm_lifetime_cur) == 32);
static_assert(sizeof(xfrm_usersa_info) == 224 && sizeof(xfrm_usersa_id) == 24);
static_assert(offsetof(xfrm_usersa_info, id) == 56 && offsetof(xfrm_usersa_info, saddr) == 80);
static_assert(offsetof(xfrm_usersa_info, lft) == 96 && offsetof(xfrm_usersa_info, curlft) == 160);
static_assert(offsetof(xfrm_usersa_info, seq) == 204 && offsetof(xfrm_usersa_info, flags) == 216);
static_assert(sizeof(xfrm_userspi_info) == 232 && sizeof(xfrm_user_acquire) == 280);
static_assert(sizeof(xfrm_user_expire) == 232 && sizeof(xfrm_user_polexpire) == 176);
static_assert(sizeof(xfrm_userpolicy_info) == 168 && sizeof(xfrm_userpolicy_id) == 64);
static_assert(offsetof(xfrm_userpolicy_info, lft) == 56);
static_assert(offsetof(xfrm_userpolicy_info, priority) == 152);
static_assert(offsetof(xfrm_userpolicy_info, dir) == 160);
static_assert(sizeof(xfrm_user_tmpl) == 64 && sizeof(xfrm_userpolicy_default) == 3);
static_assert(sizeof(xfrm_usersa_flush) == 1 && sizeof(xfrm_aevent_id) == 48);
static_assert(sizeof(xfrm_user_report) == 60 && sizeof(xfrm_user_mapping) == 64);
static_assert(sizeof(xfrm_algo) == 68 && sizeof(xfrm_algo_auth) == 72);
static_assert(sizeof(xfrm_algo_aead) == 72 && sizeof(xfrm_encap_tmpl) == 24);
static_assert(sizeof(xfrm_replay_state) == 12 && sizeof(xfrm_replay_state_esn) == 24);
static_assert(sizeof(xfrm_user_offload) == 8 && sizeof(xfrm_mark) == 8);
static_assert(sizeof(xfrm_user_migrate) == 76 && sizeof(xfrm_user_kmaddress) == 40);
static_assert(sizeof(xfrm_address_filter) == 36 && sizeof(xfrm_user_sec_ctx) == 8);
static_assert(sizeof(xfrm_userpolicy_type) == 6 && sizeof(xfrmu_spdinfo) == 24);
static_assert(sizeof(xfrmu_spdhinfo) == 8 && sizeof(xfrmu_spdhthresh) == 2);
static_assert(sizeof(xfrmu_sadhinfo) == 8);

}  // namespace cygnet::xfrm
