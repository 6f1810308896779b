#include "device/inside/inside_program.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/if_link.h>

#include <cerrno>
#include <cstring>

#include "base/errno_error.h"
#include "device/inside/bpf_assembler.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

// Keys and values as the program reads them.
struct HostKey {
  uint32_t place = 0;  // PlaceWord
  uint8_t address[16]{};
};
struct PrefixKeyV4 {
  uint32_t bits = 0;  // of class and address together
  uint32_t source_class = 0;
  uint8_t address[4]{};
};
struct PrefixKeyV6 {
  uint32_t bits = 0;
  uint32_t source_class = 0;
  uint8_t address[16]{};
};
struct Settings {
  uint8_t mac[6]{};
  uint16_t unused = 0;
  uint32_t open = 0;
};
static_assert(sizeof(HostKey) == 20 && sizeof(PrefixKeyV4) == 12 && sizeof(PrefixKeyV6) == 24);

constexpr uint32_t kClassBits = 32;
constexpr uint32_t kPlaceV6 = 1u << 31;
constexpr uint32_t kPlacePortShift = 16;

uint32_t PlaceWord(const InsideTables::Place& place, IpFamily family) {
  return (family == IpFamily::kV6 ? kPlaceV6 : 0u) | uint32_t{place.port} << kPlacePortShift |
         place.vlan;
}

HostKey KeyOf(const InsideTables::Place& place, const ParsedAddress& host) {
  HostKey key{.place = PlaceWord(place, host.family)};
  std::memcpy(key.address, host.address.bytes.data(), sizeof(key.address));
  return key;
}

template <typename Key>
Key KeyOf(uint32_t source_class, const AddressPrefix& to) {
  Key key{.bits = kClassBits + to.bits, .source_class = source_class};
  std::memcpy(key.address, to.address.bytes.data(), sizeof(key.address));
  return key;
}

// The program. r6: the context; r7 and r8: the frame and its end; r9: the IP header.
class Writer {
 public:
  struct Maps {
    int hosts, prefixes_v4, prefixes_v6, sockets, settings;
  };
  Writer(const Maps& maps, uint8_t port)
      : maps_(maps), port_(port), pass_(a_.NewLabel()), take_(a_.NewLabel()) {}

  const std::vector<bpf_insn>& Write() {
    Begin();
    CheckMac();
    const A::Label v4 = a_.NewLabel();
    const A::Label v6 = a_.NewLabel();
    SkipTag();  // r1: the type; r2: the place
    a_.JumpIfEqual(A::kR1, htons(kEtherTypeIpv4), v4);
    a_.JumpIfEqual(A::kR1, htons(kEtherTypeIpv6), v6);
    a_.Jump(pass_);
    a_.Place(v4);
    JudgeV4();
    a_.Place(v6);
    JudgeV6();
    End();
    return a_.Finish();
  }

 private:
  using A = BpfAssembler;
  // Places on the stack.
  static constexpr int16_t kIndex = -4;
  static constexpr int16_t kHostKey = -32;
  static constexpr int16_t kPrefixKey = -64;

  void Begin() {
    a_.Move(A::kR6, A::kR1);
    a_.Load(A::kWord, A::kR7, A::kR6, offsetof(xdp_md, data));
    a_.Load(A::kWord, A::kR8, A::kR6, offsetof(xdp_md, data_end));
    RequireFrame(A::kR7, kEthernetHeader + 4);
  }

  // Passes frames that end before base + length.
  void RequireFrame(A::Register base, uint32_t length) {
    a_.Move(A::kR3, base);
    a_.Add(A::kR3, static_cast<int32_t>(length));
    a_.JumpIfAbove(A::kR3, A::kR8, pass_);
  }

  void CheckMac() {
    a_.StoreValue(A::kWord, A::kFrame, kIndex, 0);
    a_.LoadMap(A::kR1, maps_.settings);
    LookUp(kIndex);
    a_.Load(A::kWord, A::kR1, A::kR0, offsetof(Settings, open));
    a_.JumpIfEqual(A::kR1, 0, pass_);
    a_.Load(A::kWord, A::kR1, A::kR7, 0);
    a_.Load(A::kWord, A::kR2, A::kR0, offsetof(Settings, mac));
    a_.JumpIfNotSame(A::kR1, A::kR2, pass_);
    a_.Load(A::kHalf, A::kR1, A::kR7, 4);
    a_.Load(A::kHalf, A::kR2, A::kR0, offsetof(Settings, mac) + 4);
    a_.JumpIfNotSame(A::kR1, A::kR2, pass_);
  }

  // r0: the value for the key at `key` in the map r1; passes if there is none.
  void LookUp(int16_t key) {
    a_.Move(A::kR2, A::kFrame);
    a_.Add(A::kR2, key);
    a_.Call(BPF_FUNC_map_lookup_elem);
    a_.JumpIfEqual(A::kR0, 0, pass_);
  }

  // One 802.1Q tag is part of the place of a host. A priority tag passes.
  void SkipTag() {
    const A::Label untagged = a_.NewLabel();
    a_.Move(A::kR9, A::kR7);
    a_.Add(A::kR9, kEthernetHeader);
    a_.Set(A::kR2, 0);
    a_.Load(A::kHalf, A::kR1, A::kR7, 12);
    a_.JumpIfNotEqual(A::kR1, htons(0x8100), untagged);
    a_.Load(A::kHalf, A::kR2, A::kR7, 14);
    a_.FromWire16(A::kR2);
    a_.And(A::kR2, 0xfff);
    a_.JumpIfEqual(A::kR2, 0, pass_);
    a_.Load(A::kHalf, A::kR1, A::kR7, 16);
    a_.Add(A::kR9, 4);
    a_.Place(untagged);
    a_.Or(A::kR2, int32_t{port_} << kPlacePortShift);
  }

  void JudgeV4() {
    RequireFrame(A::kR9, 20);
    a_.Load(A::kByte, A::kR1, A::kR9, 0);
    a_.JumpIfNotEqual(A::kR1, 0x45, pass_);  // options are for a router
    a_.Load(A::kHalf, A::kR1, A::kR9, 6);
    a_.And(A::kR1, htons(0x3fff));
    a_.JumpIfNotEqual(A::kR1, 0, pass_);  // a fragment
    a_.Load(A::kByte, A::kR1, A::kR9, 8);
    a_.JumpIfAtMost(A::kR1, 1, pass_);
    a_.Load(A::kByte, A::kR1, A::kR9, 9);
    RequireProtocol(kProtoIcmp);
    a_.Store(A::kWord, A::kFrame, kHostKey, A::kR2);
    CopyWords(12, kHostKey + 4, 1);
    for (int16_t i = 1; i < 4; ++i) {
      a_.StoreValue(A::kWord, A::kFrame, static_cast<int16_t>(kHostKey + 4 + 4 * i), 0);
    }
    FindClass(static_cast<int32_t>(kClassBits + 32));
    CopyWords(16, kPrefixKey + 8, 1);
    a_.LoadMap(A::kR1, maps_.prefixes_v4);
    FindLargest();
    a_.Load(A::kHalf, A::kR2, A::kR9, 2);
    a_.FromWire16(A::kR2);
    TakeIfNotAbove();
  }

  void JudgeV6() {
    RequireFrame(A::kR9, 40);
    a_.Load(A::kByte, A::kR1, A::kR9, 0);
    a_.ShiftRight(A::kR1, 4);
    a_.JumpIfNotEqual(A::kR1, 6, pass_);
    a_.Load(A::kByte, A::kR1, A::kR9, 7);
    a_.JumpIfAtMost(A::kR1, 1, pass_);
    a_.Load(A::kByte, A::kR1, A::kR9, 6);
    RequireProtocol(kProtoIcmpv6);
    a_.Or(A::kR2, static_cast<int32_t>(kPlaceV6));
    a_.Store(A::kWord, A::kFrame, kHostKey, A::kR2);
    CopyWords(8, kHostKey + 4, 4);
    FindClass(static_cast<int32_t>(kClassBits + 128));
    CopyWords(24, kPrefixKey + 8, 4);
    a_.LoadMap(A::kR1, maps_.prefixes_v6);
    FindLargest();
    a_.Load(A::kHalf, A::kR2, A::kR9, 4);
    a_.FromWire16(A::kR2);
    a_.Add(A::kR2, 40);
    TakeIfNotAbove();
  }

  // Passes a packet whose protocol, r1, is another: an IPv6 extension header may be for a router,
  // and checksums inside (SCTP, GRE …) may be left for a NIC to finish.
  void RequireProtocol(uint8_t icmp) {
    const A::Label plain = a_.NewLabel();
    for (const uint8_t proto : {kProtoTcp, kProtoUdp, kProtoEsp}) {
      a_.JumpIfEqual(A::kR1, proto, plain);
    }
    a_.JumpIfNotEqual(A::kR1, icmp, pass_);
    a_.Place(plain);
  }

  // From the IP header to the stack.
  void CopyWords(int16_t from, int16_t to, int16_t words) {
    for (int16_t i = 0; i < words; ++i) {
      a_.Load(A::kWord, A::kR1, A::kR9, static_cast<int16_t>(from + 4 * i));
      a_.Store(A::kWord, A::kFrame, static_cast<int16_t>(to + 4 * i), A::kR1);
    }
  }

  void FindClass(int32_t bits) {
    a_.LoadMap(A::kR1, maps_.hosts);
    LookUp(kHostKey);
    a_.Load(A::kWord, A::kR1, A::kR0, 0);
    a_.Store(A::kWord, A::kFrame, kPrefixKey + 4, A::kR1);
    a_.StoreValue(A::kWord, A::kFrame, kPrefixKey, bits);
  }

  // r1: the largest packet that is taken.
  void FindLargest() {
    LookUp(kPrefixKey);
    a_.Load(A::kWord, A::kR1, A::kR0, 0);
  }

  // r2: the packet's length. The kernel cuts what is larger, or tells its sender.
  void TakeIfNotAbove() {
    a_.JumpIfAbove(A::kR2, A::kR1, pass_);
    a_.Jump(take_);
  }

  void End() {
    a_.Place(take_);
    a_.LoadMap(A::kR1, maps_.sockets);
    a_.Load(A::kWord, A::kR2, A::kR6, offsetof(xdp_md, rx_queue_index));
    a_.Set(A::kR3, XDP_PASS);  // if the queue has no socket
    a_.Call(BPF_FUNC_redirect_map);
    a_.Exit();
    a_.Place(pass_);
    a_.Set(A::kR0, XDP_PASS);
    a_.Exit();
  }

  const Maps maps_;
  const uint8_t port_;
  A a_;
  const A::Label pass_;
  const A::Label take_;
};

Status MakeMap(bpf_map_type type, const char* name, std::size_t key, std::size_t value,
               uint32_t entries, UniqueFd* out, uint32_t flags = 0) {
  bpf_map_create_opts options{};
  options.sz = sizeof(options);
  options.map_flags = flags;
  *out = UniqueFd(bpf_map_create(type, name, static_cast<uint32_t>(key),
                                 static_cast<uint32_t>(value), entries, &options));
  if (out->valid()) return {};
  const std::string hint =
      errno == EPERM ? " (this needs CAP_BPF and CAP_NET_ADMIN, and not in a user namespace)" : "";
  return MakeError(static_cast<Errc>(errno),
                   "make the BPF table " + std::string(name) + ": " + std::strerror(errno) + hint);
}

Status LoadProgram(const std::vector<bpf_insn>& code, UniqueFd* out) {
  std::string log(16384, '\0');
  bpf_prog_load_opts options{};
  options.sz = sizeof(options);
  options.expected_attach_type = BPF_XDP;
  options.log_level = 1;
  options.log_buf = log.data();
  options.log_size = static_cast<uint32_t>(log.size());
  *out = UniqueFd(bpf_prog_load(BPF_PROG_TYPE_XDP, "cygnet_inside", "Apache-2.0", code.data(),
                                code.size(), &options));
  if (out->valid()) return {};
  const int error = errno;
  log.resize(strnlen(log.data(), log.size()));
  const std::size_t tail = log.size() > 400 ? log.size() - 400 : 0;
  return MakeError(
      static_cast<Errc>(error),
      "load the XDP program: " + std::string(std::strerror(error)) + " " + log.substr(tail));
}

}  // namespace

Result<std::unique_ptr<InsideTables>> InsideTables::Create() {
  std::unique_ptr<InsideTables> tables(new InsideTables);
  CYGNET_RETURN_IF_ERROR(MakeMap(BPF_MAP_TYPE_HASH, "cygnet_hosts", sizeof(HostKey),
                                 sizeof(uint32_t), kMaxHosts, &tables->hosts_, BPF_F_NO_PREALLOC));
  CYGNET_RETURN_IF_ERROR(MakeMap(BPF_MAP_TYPE_LPM_TRIE, "cygnet_prefix4", sizeof(PrefixKeyV4),
                                 sizeof(uint32_t), kMaxPrefixes, &tables->prefixes_v4_,
                                 BPF_F_NO_PREALLOC));
  CYGNET_RETURN_IF_ERROR(MakeMap(BPF_MAP_TYPE_LPM_TRIE, "cygnet_prefix6", sizeof(PrefixKeyV6),
                                 sizeof(uint32_t), kMaxPrefixes, &tables->prefixes_v6_,
                                 BPF_F_NO_PREALLOC));
  return tables;
}

Status InsideTables::SetHost(const Place& place, const ParsedAddress& host, uint32_t source_class) {
  const HostKey key = KeyOf(place, host);
  if (bpf_map_update_elem(hosts_.get(), &key, &source_class, BPF_ANY) == 0) return {};
  return ErrnoError("enter a host into the table of the XDP program");
}

void InsideTables::DropHost(const Place& place, const ParsedAddress& host) {
  const HostKey key = KeyOf(place, host);
  (void)bpf_map_delete_elem(hosts_.get(), &key);  // it may not be there
}

Status InsideTables::SetPrefix(uint32_t source_class, const AddressPrefix& to, uint32_t largest) {
  const auto key_v4 = KeyOf<PrefixKeyV4>(source_class, to);
  const auto key_v6 = KeyOf<PrefixKeyV6>(source_class, to);
  const void* key = to.family == IpFamily::kV4 ? static_cast<const void*>(&key_v4) : &key_v6;
  if (bpf_map_update_elem(prefixes(to.family), key, &largest, BPF_ANY) == 0) return {};
  return ErrnoError("enter a prefix into the table of the XDP program");
}

void InsideTables::DropPrefix(uint32_t source_class, const AddressPrefix& to) {
  const auto key_v4 = KeyOf<PrefixKeyV4>(source_class, to);
  const auto key_v6 = KeyOf<PrefixKeyV6>(source_class, to);
  const void* key = to.family == IpFamily::kV4 ? static_cast<const void*>(&key_v4) : &key_v6;
  (void)bpf_map_delete_elem(prefixes(to.family), key);  // it may not be there
}

Result<std::unique_ptr<InsideProgram>> InsideProgram::Attach(const InsideTables& tables,
                                                             uint8_t port, int ifindex,
                                                             uint32_t queues, Mode mode) {
  std::unique_ptr<InsideProgram> made(new InsideProgram);
  CYGNET_RETURN_IF_ERROR(MakeMap(BPF_MAP_TYPE_XSKMAP, "cygnet_sockets", sizeof(uint32_t),
                                 sizeof(int), queues, &made->sockets_));
  CYGNET_RETURN_IF_ERROR(MakeMap(BPF_MAP_TYPE_ARRAY, "cygnet_settings", sizeof(uint32_t),
                                 sizeof(Settings), 1, &made->settings_));
  Writer writer({.hosts = tables.hosts(),
                 .prefixes_v4 = tables.prefixes(IpFamily::kV4),
                 .prefixes_v6 = tables.prefixes(IpFamily::kV6),
                 .sockets = made->sockets_.get(),
                 .settings = made->settings_.get()},
                port);
  CYGNET_RETURN_IF_ERROR(LoadProgram(writer.Write(), &made->program_));
  bpf_link_create_opts options{};
  options.sz = sizeof(options);
  options.flags = mode == Mode::kNative ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
  made->link_ = UniqueFd(bpf_link_create(made->program_.get(), ifindex, BPF_XDP, &options));
  if (made->link_.valid()) return made;
  // EEXIST: a program in the other mode.
  const int error = errno == EEXIST ? EBUSY : errno;
  return MakeError(static_cast<Errc>(error), std::strerror(error));
}

Status InsideProgram::SetQueue(uint32_t queue, int socket_fd) {
  if (bpf_map_update_elem(sockets_.get(), &queue, &socket_fd, BPF_ANY) == 0) return {};
  return ErrnoError("give the XDP program its socket");
}

Status InsideProgram::Open(const MacAddress& own) {
  Settings settings{.open = 1};
  std::memcpy(settings.mac, own.data(), own.size());
  const uint32_t index = 0;
  if (bpf_map_update_elem(settings_.get(), &index, &settings, BPF_ANY) == 0) return {};
  return ErrnoError("open the XDP program");
}

void InsideProgram::Shut() {
  const Settings settings{};
  const uint32_t index = 0;
  (void)bpf_map_update_elem(settings_.get(), &index, &settings, BPF_ANY);
}

}  // namespace cygnet
