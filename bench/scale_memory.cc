// The cost of an SA and a policy: installs them through the control plane, as the XFRM server does
// after reading a message, and prints the time and memory used.
//   scale_memory [SAS [POLICIES [BYTES_OF_AN_SA BYTES_OF_A_POLICY]]]
// With the last two, the status is 1 if an SA or a policy takes more than that.
// Each table runs in its own process, because memory freed by one table would distort the next.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "control/control_plane.h"
#include "scale_host.h"

namespace cygnet::bench {
namespace {

double ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  double pages = 0;
  statm >> pages >> pages;
  return pages * 4096;
}

double Seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

// Measures `fn`, which handles `n` objects. Ends the process if each takes more bytes than `most`.
template <typename Fn>
void Measure(const char* what, uint32_t n, Fn fn, double most = 1e9) {
  const double resident = ResidentBytes();
  const double begin = Seconds();
  fn();
  const double took = Seconds() - begin;
  const double each = (ResidentBytes() - resident) / n;
  std::printf("%-28s %9u  %8.3f s  %7.2f us each  %7.0f bytes each\n", what, n, took,
              took / n * 1e6, each);
  if (each <= most) return;
  std::fprintf(stderr, "%s: %.0f bytes each, at most %.0f are expected\n", what, each, most);
  std::exit(1);
}

void Require(const Status& status, const char* what) {
  if (status) return;
  std::fprintf(stderr, "%s: %s\n", what, status.error().message.c_str());
  std::exit(1);
}

SaSpec SpecOf(uint32_t i, SaDirection direction) {
  SaSpec spec = test::MakeSpec({.spi = 0x1000 + i, .flags = kSaFlagEsn, .window = 128});
  const bool out = direction == SaDirection::kOut;
  (out ? spec.daddr : spec.saddr) = V4(0x0a020000 + i);
  spec.reqid = Reqid(i + 1);
  spec.direction = direction;
  return spec;
}

class Machine {
 public:
  Machine() : engines_(*EngineSet::ForCpu(BestEngine()->name)) {
    ControlPlaneParams params;
    params.path = &path;
    params.clock = &clock_;
    params.engines = &engines_;
    control = std::make_unique<ControlPlane>(std::move(params));
  }
  DataPath path{1};

 private:
  test::FakeClock clock_;
  EngineSet engines_;

 public:
  std::unique_ptr<ControlPlane> control;
};

void Sas(uint32_t n, SaDirection direction, double most) {
  Machine machine;
  Measure(
      direction == SaDirection::kOut ? "SAs, outbound" : "SAs, inbound", n,
      [&] {
        for (uint32_t i = 0; i < n; ++i) {
          Require(machine.control->AddSa(SpecOf(i, direction), {}), "NEWSA");
          if (i % 4096 == 0) machine.path.quiescence.Collect();
        }
      },
      most);
  Measure("  a tick of the control plane", n, [&] { machine.control->Tick(); });
  Measure("  deleted", n, [&] { machine.control->FlushSas(0, {}); });
}

template <typename Fn>
void Alone(Fn fn) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    fn();
    std::fflush(stdout);
    _exit(0);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) std::exit(1);
}

void Parts(uint32_t n) {
  std::printf(
      "sizes: SaSpec %zu, Sa %zu, OutboundSa %zu, InboundSa %zu, SaBinding %zu, "
      "PlacedSa %zu, Policy %zu\n",
      sizeof(SaSpec), sizeof(Sa), sizeof(OutboundSa), sizeof(InboundSa), sizeof(SaBinding),
      sizeof(PlacedSa), sizeof(Policy));
  std::vector<SaPtr> sas;
  sas.reserve(n);
  Measure("  part: Sa and its half", n, [&] {
    for (uint32_t i = 0; i < n; ++i) {
      sas.push_back(MakeSharedSa(SpecOf(i, SaDirection::kOut), uint64_t{1}, uint64_t{1}));
    }
  });
  Quiescence quiescence;
  Sad sad(&quiescence);
  Measure("  part: SAD", n, [&] {
    for (const auto& sa : sas) sad.Insert(sa);
  });
  const auto engine = BestEngine()->create({});
  std::vector<std::unique_ptr<CryptoSession>> sessions;
  sessions.reserve(n);
  Measure("  part: key schedule", n, [&] {
    for (const auto& sa : sas) {
      sessions.push_back(
          *engine->CreateSession(esp::SessionFor(sa->spec(), CryptoDirection::kSeal, 1)));
    }
  });
}

void Policies(uint32_t n, double most) {
  Machine machine;
  const test::SaOptions options;
  Measure(
      "policies", n,
      [&] {
        for (uint32_t i = 0; i < n; ++i) {
          PolicySpec spec = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "11.0.0.0/24",
                                             {test::TemplateFor(options)});
          spec.selector.daddr = V4(0x0b000000 + i * 256);
          Require(machine.control->AddPolicy(std::move(spec), {}), "NEWPOLICY");
          if (i % 4096 == 0) machine.path.quiescence.Collect();
        }
      },
      most);
  Measure("  deleted one by one", n, [&] {
    for (const PolicyView& view : machine.control->ListPolicies()) {
      PolicyId id;
      id.index = view.spec.index;
      id.direction = view.spec.direction;
      Require(machine.control->DeletePolicy(id, {}), "DELPOLICY");
    }
  });
}

}  // namespace
}  // namespace cygnet::bench

int main(int argc, char** argv) {
  const auto number = [&](int at, uint32_t otherwise) {
    return argc > at ? static_cast<uint32_t>(std::strtoul(argv[at], nullptr, 10)) : otherwise;
  };
  const uint32_t sas = number(1, 100'000);
  const uint32_t policies = number(2, 100'000);
  const double sa_bytes = number(3, 1u << 30);
  const double policy_bytes = number(4, 1u << 30);
  std::printf("engine: %s\n", std::string(cygnet::bench::BestEngine()->name).c_str());
  using namespace cygnet::bench;  // NOLINT
  Alone([&] { Policies(policies, policy_bytes); });
  Alone([&] { Sas(sas, cygnet::SaDirection::kOut, sa_bytes); });
  Alone([&] { Sas(sas, cygnet::SaDirection::kIn, sa_bytes); });
  Alone([&] { Parts(sas); });
  return 0;
}
