// InsideControl: keeps the tables of inside interfaces in step with policies, routes and
// neighbours: which hosts are behind them, and which destinations their packets are taken for.
//
// A host enters when a packet of it, or for it, went by the host's stack, and the kernel's route to
// it leads to an inside interface and a known neighbour. So a source is accepted only from where
// the kernel would send to it (a strict reverse path check), and a VLAN's hosts only with its tag.
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
    uint16_t inside = 0;
    IpFamily family = IpFamily::kUnspec;
    std::vector<AddressPrefix> sources;
    bool operator<(const ClassKey& other) const;
  };
  struct PrefixOrder {
    bool operator()(const AddressPrefix& a, const AddressPrefix& b) const {
      return std::tie(a.address, a.bits) < std::tie(b.address, b.bits);
    }
  };
  using Installed = std::map<AddressPrefix, bool, PrefixOrder>;
  struct Class {
    uint32_t id = 0;
    IpAddress source;  // of one of its hosts
    uint32_t hosts = 0;
    Installed installed;
    std::size_t left_to_host = 0;
  };
  using Classes = std::map<ClassKey, Class>;
  using HostKey = std::pair<IpFamily, IpAddress>;
  struct Where {
    uint16_t inside = 0;
    IpAddress gateway;
    MacAddress mac{};
    bool operator==(const Where&) const = default;
  };
  struct Host {
    Where where;
    IpAddress peer;
    Classes::iterator of_class;
    uint64_t used_at = 0;
  };
  using Hosts = std::map<HostKey, Host>;

  void Refresh();
  void RefreshOne(const std::vector<HostLink>& links, Interface* interface);
  void RefreshAddresses();
  const Interface& InterfaceOf(uint16_t inside) const {
    return interfaces_[inside - Inside::kFirst];
  }
  InsideTables::Place PlaceOf(uint16_t inside) const;
  std::optional<Where> Locate(const ParsedAddress& host, const IpAddress& peer, uint8_t device);
  void OnMiss(const Inside::Miss& miss);
  void Enter(const ParsedAddress& host, const IpAddress& peer, const Where& where);
  Hosts::iterator Drop(Hosts::iterator host);
  void DropAll();
  bool VerifySome();
  Classes::iterator ClassFor(const ParsedAddress& host, uint16_t inside);
  void LeaveClass(Classes::iterator of_class);
  bool UpdateClasses();
  void UpdateClass(const ClassKey& key, Class* one);
  Installed Wanted(const ClassKey& key, Class* one);
  void ReadCuts();
  bool Install(const Installed& wanted, Class* one);
  void Regroup();

  Parts parts_;
  std::vector<std::unique_ptr<InsidePort>> ports_;
  std::vector<Interface> interfaces_;
  Classes classes_;
  Hosts hosts_;
  PolicyList policies_;
  std::vector<AddressPrefix> cuts_;
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
  std::set<HostKey> gateways_;         // of hosts, and some that were
  std::map<HostKey, uint64_t> asked_;  // when the kernel had no answer
  uint64_t next_round_ns_ = 0;
};

}  // namespace cygnet
