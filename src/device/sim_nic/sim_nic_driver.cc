// Driver "sim_nic": the software NIC's row of the driver table, and its keys.
#include <algorithm>

#include "base/text_file.h"
#include "device/sim_nic/sim_nic.h"

namespace cygnet {

namespace {

// Every card but the bond itself.
std::vector<std::string_view> BondableCards() {
  std::vector<std::string_view> names = CardProfileNames();
  std::erase(names, "bond");
  return names;
}

}  // namespace

const std::vector<Field<SimNicOptions>>& SimNicFields() {
  using O = SimNicOptions;
  static const std::vector<Field<O>> kFields = {
      {"wire_driver", &O::wire_driver, WordOf(WireNames), "driver of the wire below it"},
      {"profile", &O::profile, WordOf(CardProfileNames), "the card that it plays"},
      {"card_conditions", &O::card_conditions, WordsOf(CardConditionWords()),
       "conditions of the card"},
      {"bond_cards", &O::bond_cards, WordsOf(BondableCards()),
       "profile \"bond\": its two cards; one: both are such"},
      {"sa_limit", &O::sa_limit, Number(1, 100'000), "SA slots of each direction"},
      {"address_limit", &O::address_limit, Number(0, 100'000), "receive addresses; 0: no limit"},
      {"fault_script", &O::fault_script, Text(), "file with faults to simulate"},
      {"fault_seed", &O::fault_seed, Number(0, 0xffff'ffff), "seed of random faults"},
      {"model", &O::model, Text(), "model name that it reports; empty: its own"},
      {"serial", &O::serial, Text(), "serial number that it reports; empty: its name"},
      {"firmware", &O::firmware, Text(), "firmware that it reports; empty: cygnetd's version"},
  };
  return kFields;
}

namespace {

// Includes the keys of the wire below it.
std::vector<FieldInfo> Keys() {
  std::vector<FieldInfo> keys = InfoOf(SimNicFields());
  for (FieldInfo& key : WireKeys()) keys.push_back(std::move(key));
  return keys;
}

Options WireOptions(const Options& options) {
  return WireOptionsOf(options, InfoOf(SimNicFields()));
}

// A condition of another card would have no effect.
Status CheckConditions(const Options& options, const SimNicOptions& read) {
  const CardProfile& profile = CardProfileNamed(read.profile);
  uint32_t known = profile.KnownConditions();
  for (const CardProfile* card : CardsOf(profile, read.bond_cards)) {
    known |= card->KnownConditions();
  }
  const std::vector<std::string_view> words = CardConditionWords(known);
  for (const std::string& word : read.card_conditions) {
    if (std::find(words.begin(), words.end(), word) != words.end()) continue;
    return options.Wrong("card_conditions",
                         "the card \"" + read.profile + "\" does not have \"" + word + "\"" +
                             (words.empty() ? ", nor any other" : "; it has " + Join(words)));
  }
  return {};
}

Result<SimNicOptions> Read(const Options& options) {
  SimNicOptions read;
  CYGNET_RETURN_IF_ERROR(ReadFields(options, SimNicFields(), &read));
  if (read.bond_cards.empty() || read.bond_cards.size() > 2) {
    return options.Wrong("bond_cards", "needs one or two cards");
  }
  CYGNET_RETURN_IF_ERROR(CheckConditions(options, read));
  // A card has its own limits unless the file has others.
  const CardLimits& limits = CardProfileNamed(read.profile).limits;
  if (options.Find("sa_limit") == nullptr) read.sa_limit = limits.slots;
  if (options.Find("address_limit") == nullptr) read.address_limit = limits.addresses;
  return read;
}

Result<DeviceOptions> Check(const Options& options) {
  const auto own = Read(options);
  if (!own) return own.error();
  auto wire = CheckWireOptions(own->wire_driver, WireOptions(options));
  if (!wire) return wire.error();
  DeviceOptions all{.options = ShowOptions(options, SimNicFields(), *own),
                    .owns_interface = wire->owns_interface,
                    .sa_slots = own->sa_limit};
  for (TomlEntry& entry : wire->options.entries) all.options.entries.push_back(std::move(entry));
  return all;
}

Result<FaultScript> ReadScript(const SimNicOptions& options) {
  if (options.fault_script.empty()) return FaultScript();
  auto text = ReadTextFile(options.fault_script);
  if (!text) return MakeError(text.error().code, "fault_script: " + text.error().message);
  auto script = FaultScript::Parse(*text, options.fault_script, options.fault_seed);
  if (script) return script;
  return MakeError(Errc::kInvalid, "fault_script: " + script.error().message);
}

Status CheckFiles(const Options& options) {
  const auto own = Read(options);
  if (!own) return own.error();
  const auto script = ReadScript(*own);
  return script ? Status() : script.error();
}

Result<Device> Create(const DriverParams& params) {
  const auto options = Read(params.options);
  if (!options) return options.error();
  auto script = ReadScript(*options);
  if (!script) return script.error();
  DriverParams wire_params = params;
  wire_params.queues = 1;
  wire_params.options = WireOptions(params.options);
  auto wire = OpenWire(options->wire_driver, wire_params);
  if (!wire) return wire.error();
  auto nic = std::make_unique<SimNic>(params.name, *std::move(wire), params.queues, params.pools,
                                      params.capture, *options, *std::move(script));
  nic->Start();
  Device device;
  device.offload = nic.get();
  device.port = std::move(nic);
  return device;
}

}  // namespace

extern const DriverInfo kSimNicDriver = {
    .name = "sim_nic",
    .help = "the software NIC: crypto offload with its own key store, SA table and thread",
    .keys = Keys,
    .check = Check,
    .check_files = CheckFiles,
    .create = Create,
};

}  // namespace cygnet
