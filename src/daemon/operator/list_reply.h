// Helpers shared by reply.cc and placement_requests.cc: reading a request, listing a snapshot.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/operator/reply.h"
#include "daemon/operator/report_json.h"

namespace cygnet {

// The request is invalid. Thrown while a reply is made, caught by MakeReply.
struct RequestError {
  std::string text;
};

// The text of `error`, followed by the existing devices if it is about an unknown device.
inline std::string WithDevices(const OperatorControl& control, const Error& error) {
  std::string text = error.message;
  if (error.code != Errc::kNoDevice) return text;
  const char* before = "; devices: ";
  for (const DeviceReport& device : control.ReportDevices()) {
    text += before + device.name;
    before = ", ";
  }
  return text;
}

// Arrays of an item that have no bound, and how many of their elements go into one datagram. A
// datagram with all of them and the rest of the item is shorter than kOperatorDatagram.
struct LongArray {
  const char* field;
  std::size_t per_datagram;
};
inline constexpr std::array<LongArray, 3> kLongArrays = {{
    {"held", 500},        // of about 80 bytes at most
    {"key_log", 100},     // of about 140 bytes at most
    {"driver_view", 50},  // of about 100 bytes at most
}};

// Sends the items of a snapshot, converting them to JSON one by one.
template <typename Report>
class ListReply final : public OperatorReply {
 public:
  using Encode = std::function<Json(const Report&)>;
  ListReply(std::vector<Report> reports, Encode encode)
      : reports_(std::move(reports)), encode_(std::move(encode)) {}

  Next MakeNext(std::string* datagram) override {
    if (done_) return Next::kEnd;
    if (std::any_of(rests_.begin(), rests_.end(), [](const Rest& rest) { return rest.more(); })) {
      *datagram = ToText({{"append", TakeMore()}});
    } else if (next_ < reports_.size()) {
      *datagram = ToText({{"item", TakeItem()}});
    } else {
      *datagram = ToText({{"done", true}});
      done_ = true;
    }
    return Next::kDatagram;
  }

  std::size_t held_bytes() const override {
    return reports_.size() * sizeof(Report) + (reports_.size() - next_) * kBehindReport;
  }

 private:
  // Approximate memory that a report refers to: a deleted SA, a history.
  static constexpr std::size_t kBehindReport = 512;

  // The part of a long array that has not been sent.
  struct Rest {
    Json elements = Json::array();
    std::size_t at = 0;

    bool more() const { return at < elements.size(); }
    Json Take(std::size_t most) {
      Json part = Json::array();
      while (more() && part.size() < most) part.push_back(std::move(elements[at++]));
      return part;
    }
  };

  Json TakeItem() {
    Json item = encode_(reports_[next_]);
    reports_[next_++] = Report{};  // releases its SA
    for (std::size_t i = 0; i < kLongArrays.size(); ++i) {
      const auto field = item.find(kLongArrays[i].field);
      if (field == item.end()) continue;
      rests_[i] = {.elements = std::move(*field), .at = 0};
      *field = rests_[i].Take(kLongArrays[i].per_datagram);
    }
    return item;
  }

  Json TakeMore() {
    Json parts = Json::object();
    for (std::size_t i = 0; i < kLongArrays.size(); ++i) {
      if (rests_[i].more()) {
        parts[kLongArrays[i].field] = rests_[i].Take(kLongArrays[i].per_datagram);
      }
    }
    return parts;
  }

  std::vector<Report> reports_;
  const Encode encode_;
  std::size_t next_ = 0;
  std::array<Rest, kLongArrays.size()> rests_;
  bool done_ = false;
};

// Reads the fields of a request; every error names the field.
class RequestReader {
 public:
  explicit RequestReader(const Json& json) : json_(json) {}

  void AllowOnly(std::initializer_list<std::string_view> fields) const {
    for (const auto& [key, value] : json_.items()) {
      const std::string& name = key;
      const bool known =
          name == "command" ||
          std::any_of(fields.begin(), fields.end(), [&](auto field) { return field == name; });
      if (!known) throw RequestError{fmt::format("unknown field \"{}\"", name)};
    }
  }

  std::optional<std::string> Text(const char* field) const {
    const auto value = json_.find(field);
    if (value == json_.end()) return std::nullopt;
    if (!value->is_string()) throw RequestError{fmt::format("{}: must be a string", field)};
    return value->get<std::string>();
  }

  // An array of strings; empty if the field is absent.
  std::vector<std::string> Texts(const char* field) const {
    std::vector<std::string> texts;
    const auto value = json_.find(field);
    if (value == json_.end()) return texts;
    const bool fits =
        value->is_array() && std::all_of(value->begin(), value->end(),
                                         [](const Json& text) { return text.is_string(); });
    if (!fits) throw RequestError{fmt::format("{}: must be an array of strings", field)};
    for (const Json& text : *value) texts.push_back(text.get<std::string>());
    return texts;
  }

  bool Flag(const char* field) const {
    const auto value = json_.find(field);
    if (value == json_.end()) return false;
    if (!value->is_boolean()) throw RequestError{fmt::format("{}: must be true or false", field)};
    return value->get<bool>();
  }

  // Accepts a number, or text with a decimal or 0x… number.
  std::optional<uint32_t> Number(const char* field) const {
    const auto value = json_.find(field);
    if (value == json_.end()) return std::nullopt;
    std::optional<uint32_t> number;
    if (value->is_number_unsigned() && value->get<uint64_t>() <= ~uint32_t{0}) {
      number = value->get<uint32_t>();
    } else if (value->is_string()) {
      number = ParseNumber(value->get<std::string>());
    }
    if (!number) throw RequestError{fmt::format("{}: must be a 32-bit number", field)};
    return number;
  }

  std::optional<ParsedAddress> Address(const char* field) const {
    const auto text = Text(field);
    if (!text) return std::nullopt;
    const auto address = ParseAddress(*text);
    if (!address) throw RequestError{fmt::format("{}: \"{}\" is not an IP address", field, *text)};
    return address;
  }

 private:
  static std::optional<uint32_t> ParseNumber(std::string_view text) {
    const bool hex = text.starts_with("0x") || text.starts_with("0X");
    if (hex) text.remove_prefix(2);
    uint32_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value, hex ? 16 : 10);
    if (error != std::errc() || stop != end) return std::nullopt;
    return value;
  }

  const Json& json_;
};

// monitor_requests.cc
std::unique_ptr<OperatorReply> MakeMonitorReply(EventFeed* feed, const RequestReader& request);

// cluster_requests.cc
std::unique_ptr<OperatorReply> MakeClusterReply(OperatorControl* control,
                                                const RequestReader& request);

// placement_requests.cc
std::unique_ptr<OperatorReply> MakeLedgerReply(const OperatorControl& control,
                                               const RequestReader& request);
std::unique_ptr<OperatorReply> MakeExplainReply(const OperatorControl& control,
                                                const RequestReader& request);
std::unique_ptr<OperatorReply> MakeOffloadReply(OperatorControl* control,
                                                const RequestReader& request,
                                                const OrderMark& mark);
std::unique_ptr<OperatorReply> MakePlacementReply(OperatorControl* control,
                                                  const RequestReader& request,
                                                  const OrderMark& mark);
std::unique_ptr<OperatorReply> MakeFaultReply(OperatorControl* control,
                                              const RequestReader& request);

}  // namespace cygnet
