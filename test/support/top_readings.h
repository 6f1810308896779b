// Readings of the daemon for tests of `cygnet top`.
#pragma once

#include <string>

#include "client/readings.h"

namespace cygnet::test {

struct SampleSa {
  std::string spi = "0x00001001";
  std::string direction = "out";
  std::string effective = "crypto";
  std::string where = "nic0";
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t drops = 0;
};

inline constexpr uint64_t kNow = 1'700'000'000;

inline Json SaJson(const SampleSa& sa) {
  const bool out = sa.direction == "out";
  const bool device = sa.effective == "crypto" || sa.effective == "packet";
  Json json = {{"src", out ? "192.0.2.1" : "192.0.2.2"},
               {"dst", out ? "192.0.2.2" : "192.0.2.1"},
               {"spi", sa.spi},
               {"proto", "esp"},
               {"reqid", 1},
               {"replay_window", 64},
               {"esn", false},
               {"state", "valid"},
               {"usage",
                {{"bytes", sa.bytes},
                 {"packets", sa.packets},
                 {"add_time", kNow - 7200},
                 {"use_time", kNow - 7000}}},
               {"replay", {{"oseq", out ? sa.packets : 0}, {"seq", out ? 0 : sa.packets}}},
               {"limits", Json::object()},
               {"placements",
                {{{"direction", sa.direction},
                  {"effective", sa.effective},
                  {"device", device ? sa.where : ""},
                  {"engine", device ? "openssl" : sa.where},
                  {"reason", "requested"},
                  {"since", kNow - 60}}}},
               {"drops", Json::object()}};
  if (sa.drops != 0) json["drops"] = {{"in-replay", sa.drops}, {"in-auth-failed", 1}};
  return json;
}

inline Json DeviceJson(const std::string& state, uint64_t sealed) {
  return {{"name", "nic0"},
          {"wire", "wire0"},
          {"state", state},
          {"failure", ""},
          {"link", {{"state", "up"}, {"explanation", ""}}},
          {"offload",
           {{"capable", true},
            {"slots_used", 2},
            {"slots_limit", 4},
            {"sealed", sealed},
            {"opened", 0}}},
          {"guard", {{"clear_stopped", 0}, {"unsealed_stopped", 0}, {"engine_unsealed", 0}}}};
}

inline Json StatJson(uint64_t uptime, uint64_t busy_us, uint64_t drops) {
  return {{"drops", {{"in-replay", drops}, {"in-no-state", 0}}},
          {"uptime_seconds", uptime},
          {"workers", 1},
          {"worker_loads", {{{"busy_us", busy_us}, {"packets", busy_us / 10}}}}};
}

}  // namespace cygnet::test
