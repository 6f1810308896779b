// InsideControl: keeps the tables of inside interfaces in step with policies, routes and
// neighbours: which hosts are behind them, and which destinations their packets are taken for.
//
// A host enters when a packet of it, or for it, went by the host's stack, and the kernel's route to
// it leads to an inside interface and a known neighbour. So a source is accepted only from where
// the kernel would send to it (a strict reverse path check), and a VLAN's hosts only with its tag.
// What the kernel answers depends on where a packet comes from: an entry belongs to a scope, which
// is a VRF, or one interface if a routing rule asks for it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/clock.h"
#include "control/host_links.h"
#include "control/host_network.h"
#include "control/inside_prefixes.h"
#include "control/inside_report.h"
#include "datapath/data_path.h"
#include "device/inside/inside_port.h"

namespace cygnet {

// Control thread. Times are monotonic nanoseconds.
class InsideControl {
 public:
  // A name of the configuration.
  struct Name {
    std::string interface;
    uint8_t port = 0;    // number of its InsidePort
    uint16_t vlan = 0;   // 0: the port itself
    uint8_t device = 0;  // number of the [[device]]
  };
  // All but the tables outlive this object.
  struct Parts {
    DataPath* path;
    HostLinks* links;
    const Clock* clock;
    std::unique_ptr<HostNetwork> network;  // with NetworkEvents::kForwarding
    std::unique_ptr<InsideTables> tables;
  };

  explicit InsideControl(Parts parts) : parts_(std::move(parts)) {}
  ~InsideControl();

  // Set-up, before the workers start.
  void Add(const Name& name, uint32_t sharers, PacketPool* pool);

  int event_fd() const { return parts_.network->event_fd(); }
  void OnNetworkEvents();
  // Interfaces may have appeared, changed or disappeared.
  void Look();
  // Does one part of the work. True: more is ready.
  bool DoSome();
  // About once a second.
  void Tick();
  // Nothing is taken any more.
  void Shut();
  std::vector<InsideReport> Report() const;

 private:
  struct Interface {
    Name name;
    InsideInterface* path = nullptr;  // in the data path
    int32_t ifindex = 0;              // 0: not usable
    bool v4 = false, v6 = false;      // the kernel forwards
    std::string problem;
  };
  // Sources with the same answers of policy behind one interface.
  struct ClassKey {
    uint8_t inside = 0;
    IpFamily family = IpFamily::kUnspec;
    std::vector<AddressPrefix> sources;
    bool operator<(const ClassKey& other) const;
  };
  struct Class {
    uint32_t id = 0;
    IpAddress source;  // of one of its hosts
    uint32_t hosts = 0;
    InsideWays installed;
    std::unique_ptr<InsideClass> path;  // what workers see of it
    std::size_t left_to_host = 0;
  };
  using Classes = std::map<ClassKey, Class>;
  using HostKey = std::tuple<InsideScope, IpFamily, IpAddress>;
  struct Where {
    uint8_t inside = 0;
    IpAddress gateway;
    MacAddress mac{};
    uint32_t mtu = 0;
    bool operator==(const Where&) const = default;
  };
  struct Host {
    Where where;
    Inside::Miss seen;  // the packet that it was found by
    bool is_source = false;
    uint64_t used_at = 0;
  };
  using Hosts = std::map<HostKey, Host>;
  // A host whose packets are taken.
  struct Source {
    Classes::iterator of_class;
    uint32_t holders = 0;  // entries of `hosts_`
    uint64_t used_at = 0;
  };
  using SourceKey = std::tuple<uint8_t, IpFamily, IpAddress>;
  // A tunnel interface of this network namespace that is up.
  struct TunnelWay {
    uint16_t number = 0;
    uint32_t mtu = 0;
  };

  void Refresh();
  void RefreshOne(const std::vector<HostLink>& links, Interface* interface);
  void RefreshTunnels(const std::vector<HostLink>& links);
  void ReadVrfs(const std::vector<HostLink>& links);
  void SetScopes();
  int32_t VrfOf(int32_t ifindex) const;
  InsideScope ScopeFor(int32_t ifindex) const;
  void RefreshAddresses();
  const Interface& InterfaceOf(uint8_t inside) const { return interfaces_[inside - 1u]; }
  InsideTables::Place PlaceOf(uint8_t inside) const;
  int32_t ArrivesBy(const Inside::Miss& miss) const;
  std::optional<Where> Locate(const Inside::Miss& miss);
  void OnMiss(const Inside::Miss& miss);
  void AgeHosts();
  void Enter(const HostKey& key, const Inside::Miss& miss, const Where& where);
  void EnterSource(uint8_t inside, const ParsedAddress& host);
  void LeaveSource(uint8_t inside, const ParsedAddress& host);
  Hosts::iterator Drop(Hosts::iterator host);
  bool WasUsed(const HostKey& key, const Host& host, uint64_t now) const;
  bool VerifySome();
  Classes::iterator ClassFor(const ParsedAddress& host, uint8_t inside);
  void LeaveClass(Classes::iterator of_class);
  bool UpdateClasses();
  void UpdateClass(const ClassKey& key, Class* one);
  InsideWays Wanted(const ClassKey& key, Class* one);
  InsideWay WayOf(const ClassKey& key, const InsideRule& rule, Class* one);
  void Publish(const InsideWays& wanted, Class* one);
  void ReadCuts();
  bool Install(const InsideWays& wanted, Class* one);
  void Regroup();

  Parts parts_;
  std::vector<std::unique_ptr<InsidePort>> ports_;
  std::vector<Interface> interfaces_;
  Classes classes_;
  Hosts hosts_;
  std::map<SourceKey, Source> sources_;
  std::map<int32_t, TunnelWay> tunnels_;  // by ifindex
  std::map<int32_t, int32_t> vrfs_;       // of interfaces that are in one
  PolicyList policies_;
  std::vector<AddressPrefix> cuts_;
  std::set<AddressPrefix, PrefixOrder> into_tunnels_;  // prefixes of routes
  ForwardingKeys keys_;
  bool too_many_routes_ = false;
  uint32_t last_class_ = 0;
  uint32_t spd_version_ = ~uint32_t{0};
  bool network_changed_ = true;
  uint64_t next_update_ns_ = 0;
  uint64_t next_refresh_ns_ = 0;
  uint64_t next_look_up_ns_ = 0;
  std::optional<HostKey> verify_from_;  // the next host to look up again
  bool verifying_ = false;
  std::set<std::pair<IpFamily, IpAddress>> gateways_;  // of hosts, and some that were
  std::map<HostKey, uint64_t> asked_;                  // when the kernel had no answer
  uint64_t next_round_ns_ = 0;
};

}  // namespace cygnet
