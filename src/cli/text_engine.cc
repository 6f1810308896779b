// Engines, and the explanation of an MTU.
#include <fmt/format.h>

#include <string_view>

#include "cli/printable.h"
#include "cli/text.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

std::string UseText(const Json& engine, const Ink& ink) {
  if (Number(engine, "priority") == 0) return "cannot run here";
  if (!Text(engine, "failure").empty())
    return ink.Paint(Tone::kBad, "FAILED: the CPU does its jobs");
  const uint64_t order = Number(engine, "order");
  const std::string priority = fmt::format("priority {}", Number(engine, "priority"));
  return order == 0 ? priority + ", not in use"
                    : fmt::format("{}, in use, number {}", priority, order);
}

std::string WorkLine(const Json& engine) {
  const uint64_t limit = Number(engine, "session_limit");
  return fmt::format(
      "\tserves {} halves of SAs; jobs {} refused {} not done {} in flight {}, "
      "sessions {}{}\n",
      Number(engine, "sa_halves"), Number(engine, "jobs"), Number(engine, "refused"),
      Number(engine, "not_done"), Number(engine, "in_flight"), Number(engine, "sessions"),
      limit == 0 ? "" : fmt::format(" of {}", limit));
}

std::string AlgorithmsLine(const Json& engine) {
  std::string text;
  for (const Json& name : Child(engine, "algorithms")) text += " " + name.get<std::string>();
  return text.empty() ? text : "\tcan do" + text + "\n";
}

std::string MtuSaLines(const Json& sa) {
  std::string text =
      fmt::format("\tSA src {} dst {} spi {} reqid {} mode {}: carries {} of {} bytes{}\n",
                  Text(sa, "src"), Text(sa, "dst"), Text(sa, "spi"), Number(sa, "reqid"),
                  Text(sa, "mode"), Number(sa, "inner_mtu"), Number(sa, "outer_mtu"),
                  sa.contains("path_mtu") ? ", the learnt path MTU" : "");
  for (const Json& part : Child(sa, "overhead")) {
    text += fmt::format("\t\t{:>4} {}\n", part.value("bytes", int64_t{0}), Text(part, "name"));
  }
  return text;
}

}  // namespace

std::string EngineText(const Json& engine, const Ink& ink) {
  const std::string version = Text(engine, "version");
  std::string text =
      fmt::format("{}: {} engine, {}{}\n", Text(engine, "name"), Text(engine, "kind"),
                  UseText(engine, ink), version.empty() ? "" : ", version " + version);
  text += fmt::format("\t{}\n", Text(engine, "help"));
  if (const std::string module = Text(engine, "module"); !module.empty()) {
    text += fmt::format("\tmodule {}\n", module);
  }
  if (const std::string failure = Text(engine, "failure"); !failure.empty()) {
    text += fmt::format("\tfailed: {}\n", failure);
  }
  if (const std::string denied = Text(engine, "denied"); !denied.empty()) {
    text += fmt::format("\tgets no keys: {}\n", denied);
  }
  if (Number(engine, "order") == 0) return text;
  return text + AlgorithmsLine(engine) + WorkLine(engine);
}

std::string MtuText(const Json& mtu) {
  const uint64_t inner = Number(mtu, "inner_mtu");
  std::string text = fmt::format("{} from {}: {}\n", Text(mtu, "dst"), Text(mtu, "src"),
                                 Printable(Text(mtu, "explanation")));
  if (const std::string device = Text(mtu, "device"); !device.empty()) {
    text += fmt::format("\tdevice {}, wire mtu {}\n", device, Number(mtu, "wire_mtu"));
  }
  if (const std::string tunnel = Text(mtu, "tunnel"); !tunnel.empty()) {
    text += fmt::format("\ttunnel {}, mtu {}\n", tunnel, Number(mtu, "tunnel_mtu"));
  }
  if (const uint64_t host = Number(mtu, "host_mtu"); host != 0) {
    text += fmt::format("\thost mtu {} ({})\n", host, Printable(Text(mtu, "host_mtu_of")));
  }
  if (const auto policy = mtu.find("policy"); policy != mtu.end()) {
    text += fmt::format("\tpolicy {} priority {} index {}\n", Text(*policy, "selector"),
                        Number(*policy, "priority"), Number(*policy, "index"));
  }
  for (const Json& sa : Child(mtu, "sas")) text += MtuSaLines(sa);
  if (inner == 0) return text;
  return text + fmt::format("\tmtu {}, TCP MSS {}\n", inner, Number(mtu, "tcp_mss"));
}

}  // namespace cygnet
