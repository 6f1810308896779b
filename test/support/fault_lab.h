// FaultLab: a host with a software NIC, placement and an SA in each direction, and a peer that
// audits every frame. Everything runs step by step and without threads, so that a run repeats
// itself.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "control/placement/placement.h"
#include "support/auditing_peer.h"
#include "support/test_host.h"

namespace cygnet::test {

class FaultLab final : public PlacementListener {
 public:
  struct Options {
    PlacementMode mode = PlacementMode::kCrypto;  // where both SAs run: kCrypto or kPacket
    LifetimeLimits limits = {};
    uint32_t verify = 0;  // the CPU computes one of so many packets again
    uint64_t before = 0;  // the number before the first one of each SA; large ones: ESN
  };

  explicit FaultLab(const Options& options)
      : mode_(options.mode),
        host_(&pools_, {.nic = true, .verify = options.verify}),
        peer_(1, 64, options.before) {
    host_.SetAddresses({"192.0.2.1", "10.1.0.1"});
    placement_ = std::make_unique<Placement>(
        PlacementParams{.path = &host_.path,
                        .clock = &host_.clock,
                        .engines = &host_.engines,
                        .devices = {{.name = "nic0",
                                     .ifindex = TestHost::kIfindex,
                                     .offload = &host_.nic(),
                                     .shadow = options.verify != 0 ? &host_.shadow() : nullptr,
                                     .terms = {.verify = options.verify}}}},
        this);
    SaOptions out = PeerOut(64, options.before);
    SaOptions in = PeerIn(64, options.before);
    out.limits = options.limits;
    in.limits = options.limits;
    sa_out_ = Install(out);
    sa_in_ = Install(in);
    host_.AddPolicy(
        MakePolicy(PolicyDirection::kIn, "10.2.0.0/16", "10.1.0.0/16", {TemplateFor(PeerIn())}));
    (void)host_.path.spd.Insert(OutPolicy(), 1);
    GivePolicies();
    host_.path.BumpGeneration();
    for (const uint32_t spi : {kPeerSpiOut, kPeerSpiIn}) Command(spi, mode_);
    PassEdge();
    Settle();
  }
  ~FaultLab() override {
    for (const auto& sa : {sa_out_, sa_in_}) End(sa);
    for (int i = 0; i < 100 && host_.path.quiescence.Collect() != 0; ++i) host_.Run();
    host_.Run();
    placement_.reset();
  }

  // --- Load ---
  // `packets` new ones in this direction, in bursts with the turns of control between them. The
  // peer also sends forged packets, and some again.
  void Send(FaultWay way, uint32_t packets) {
    constexpr uint32_t kBurst = 10;
    for (uint32_t n = 0; n < packets; n += kBurst) {
      for (uint32_t i = 0; i < kBurst; ++i) {
        if (way == FaultWay::kOut) {
          host_.FromHost(Numbered("10.1.0.1", "10.2.0.1", next_id_++));
        } else {
          host_.FromWire(peer_.NextNew());
        }
      }
      if (way == FaultWay::kIn) {
        host_.FromWire(peer_.Again());
        host_.FromWire(peer_.NextForged());
        ++forged_sent_;
      }
      Turn();
    }
  }
  // A tenth of a second.
  void Turn() {
    for (int i = 0; i < 8; ++i) {
      host_.worker->RunOnce();
      host_.nic().RunOnce();
    }
    Audit();
    for (const DataPathEvent& event : host_.Events()) OnDeviceEvent(event);
    placement_->CheckDevices();
    (void)placement_->DoSome();
    host_.path.quiescence.Collect();
    host_.clock.monotonic_ns += 100'000'000;
    if (++turns_ % 10 != 0) return;
    host_.clock.wall_seconds += 1;
    placement_->Tick();
  }
  void Settle() {
    for (int i = 0; i < 20; ++i) Turn();
  }
  bool Inject(std::string_view fault) { return host_.nic().InjectFault(fault).has_value(); }
  // All faults end, and the operator has the device used again.
  void Recover() {
    (void)Inject("clear");
    Turn();
    (void)placement_->SetEnabled("nic0", true);
    Settle();
    // As the sender does sooner or later: a device that is lost may have accepted them.
    while (sa_in_->inbound()->replay.Check(peer_.number() + 1) == DropReason::kInNumberUnknown) {
      peer_.Skip(512);
    }
  }

  // --- What came of it ---
  uint64_t Sent(FaultWay way) const { return way == FaultWay::kOut ? next_id_ : peer_.ids(); }
  uint64_t Arrived(FaultWay way) const {
    return way == FaultWay::kOut ? peer_.received.size() : delivered_.size();
  }
  uint64_t Doubled(FaultWay way) const {
    return way == FaultWay::kOut ? peer_.doubled : delivered_twice_;
  }
  uint64_t Wrong(FaultWay way) const { return way == FaultWay::kOut ? peer_.wrong : wrong_; }
  uint64_t forged_delivered() const { return forged_delivered_; }
  uint64_t forged_sent() const { return forged_sent_; }
  const AuditingPeer& peer() const { return peer_; }
  // Of the host and of the device, by name.
  std::map<std::string, uint64_t> Drops() {
    std::map<std::string, uint64_t> drops;
    for (std::size_t i = 1; i < kDropReasons; ++i) {
      const auto reason = static_cast<DropReason>(i);
      const uint64_t n = host_.Drops(reason) + host_.nic().device_drops()->Get(reason);
      if (n > 0) drops[std::string(Describe(reason).name)] = n;
    }
    return drops;
  }
  // "packet", "crypto", "software", "blocked".
  std::string Where(FaultWay way) const {
    const Sa& sa = way == FaultWay::kOut ? *sa_out_ : *sa_in_;
    const PlacedSa* placed = placement_->Find(sa.number);
    if (placed == nullptr) return "ended";
    const PlacedHalf& half = placed->half(way == FaultWay::kOut ? Half::kOutbound : Half::kInbound);
    if (half.binding->blocked()) return "blocked";
    return std::string(Name(half.binding->path));
  }
  TestHost& host() { return host_; }
  Placement& placement() { return *placement_; }
  void Command(uint32_t spi, PlacementMode mode) {
    (void)placement_->SetOverride({.spi = Spi(spi), .mode = mode, .device = std::string("nic0")});
  }

 private:
  // PlacementListener.
  void OnEntering(const SaPtr&, std::size_t) override { GivePolicies(); }
  void OnMoved(const SaPtr&) override {}
  void OnBack(std::size_t) override {}
  void OnGone(std::size_t) override {}
  void OnLost(const SaPtr&) override {}
  void OnDeviceState(const std::string&, const std::string&, const std::string&) override {}
  void OnGuardHit(const std::string&, const std::string&, uint64_t) override {}
  void OnWithdrawn(const std::string&, const WithdrawnCapability&, const std::string&) override {}
  void OnWrongPackets(const std::string&, Half, uint64_t, const std::string&,
                      const std::string&) override {}
  // As the control plane does at a hard limit.
  void OnDeviceEvent(const DataPathEvent& event) override {
    if (event.kind != DataPathEvent::Kind::kHardLimit) return;
    End(host_.path.sad.FindByNumber(event.sa_number));
  }

  static PolicySpec OutPolicy() {
    return MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                      {TemplateFor(PeerOut())});
  }
  // The device's policies do not survive a reset.
  void GivePolicies() {
    if (given_at_ == host_.nic().resets()) return;
    OffloadPolicyHandle handle;
    const PolicySpec policy = OutPolicy();
    if (!host_.nic().AddPolicy({policy}, &handle).has_value()) given_at_ = host_.nic().resets();
  }
  SaPtr Install(const SaOptions& options) {
    auto sa = MakeSharedSa(MakeSpec(options), uint64_t{1}, kTestIvMask);
    sa->number = host_.path.sad.NextNumber();
    if (!placement_->Place(sa).has_value()) throw std::runtime_error("not placed");
    host_.path.sad.Insert(sa);
    return sa;
  }
  void End(const SaPtr& sa) {
    if (sa == nullptr || placement_->Find(sa->number) == nullptr) return;
    placement_->Remove(*sa);
    host_.path.sad.Remove(sa);
    host_.path.BumpGeneration();
  }
  // The peer's numbers pass the edge up to which the CPU opens.
  void PassEdge() {
    if (mode_ != PlacementMode::kPacket) return;
    while (sa_in_->inbound()->replay.Check(peer_.number() + 1) != DropReason::kInHandOver) {
      peer_.Skip(512);
    }
  }
  void Audit() {
    for (const Bytes& frame : host_.ToWire()) peer_.Audit(frame);
    for (const Bytes& frame : host_.ToHost()) {
      const uint64_t id = IdOf(frame, 14);
      if (id >= AuditingPeer::kForged) {
        ++forged_delivered_;
        continue;
      }
      if (IsChanged(frame, 14)) ++wrong_;
      if (!delivered_.insert(id).second) ++delivered_twice_;
    }
  }

  const PlacementMode mode_;
  PacketPools pools_{2000, 8};
  TestHost host_;
  AuditingPeer peer_;
  std::unique_ptr<Placement> placement_;
  SaPtr sa_out_;
  SaPtr sa_in_;
  std::optional<uint32_t> given_at_;
  uint64_t turns_ = 0;
  uint64_t next_id_ = 0;
  std::set<uint64_t> delivered_;
  uint64_t delivered_twice_ = 0;
  uint64_t wrong_ = 0;
  uint64_t forged_sent_ = 0;
  uint64_t forged_delivered_ = 0;
};

}  // namespace cygnet::test
