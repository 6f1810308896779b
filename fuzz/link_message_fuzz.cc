// Messages about interfaces: what the shim shows a program of the kernel's answers, and what the
// daemon reads of a program's requests.
#include <linux/netlink.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/check.h"
#include "netlink/builder.h"
#include "netlink/message.h"
#include "netlink/unix_transport.h"
#include "shim/route_answer.h"
#include "xfrm/link_message.h"

namespace cygnet {
namespace {

// The heap, so that a byte too far is found.
void Show(std::vector<uint8_t> bytes, shim::AnswerForm form) {
  const std::vector<uint8_t> before = bytes;
  shim::ShowAnswers(bytes.data(), bytes.size(), form);
  // Lengths of messages never change.
  std::span<const uint8_t> was(before);
  std::span<const uint8_t> is(bytes);
  while (const auto message = netlink::NextMessage(was)) {
    const auto shown = netlink::NextMessage(is);
    CYGNET_CHECK(shown && shown->header.nlmsg_len == message->header.nlmsg_len);
  }
}

void Decode(std::span<const uint8_t> bytes) {
  netlink::MessageBuilder builder({.type = transport::kLink, .flags = NLM_F_REQUEST});
  builder.PutBytes(bytes);
  const netlink::Buffer datagram = std::move(builder).Finish();
  std::span<const uint8_t> rest(datagram);
  const auto message = netlink::NextMessage(rest);
  if (!message || !xfrm::IsLink(*message)) return;
  const auto request = xfrm::DecodeLink(*message);
  if (request) CYGNET_CHECK(request->rest.size() % 4 == 0);
}

}  // namespace
}  // namespace cygnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 60'000) return 0;
  cygnet::Show({data, data + size}, cygnet::shim::AnswerForm::kPlain);
  cygnet::Show({data, data + size}, cygnet::shim::AnswerForm::kExtended);
  cygnet::Decode({data, size});
  return 0;
}
