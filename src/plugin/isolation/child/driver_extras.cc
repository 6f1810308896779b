#include "plugin/isolation/child/driver_extras.h"

#include <stdlib.h>
#include <string.h>

#include <cerrno>

#include "plugin/isolation/driver_message.h"
#include "plugin/isolation/driver_ring.h"

namespace cygnet::isolation {
namespace {

// The answer of a call that fills a list: its entries; the result is what the plug-in returned.
template <typename T, typename Fn>
int32_t List(Request* request, Writer* answer, Fn fn) {
  const auto room = request->in.Take<uint32_t>();
  if (room > kMostEntries) return -EINVAL;
  auto* entries = static_cast<T*>(calloc(room + 1, sizeof(T)));
  if (entries == nullptr) return -ENOMEM;
  const uint32_t n = fn(entries, room);
  answer->Bytes(entries, (n < room ? n : room) * static_cast<uint32_t>(sizeof(T)));
  free(entries);
  return static_cast<int32_t>(n);
}

int32_t AddPolicy(Request* request, Writer* answer) {
  cygnet_template templates[kMaxTemplates];
  const cygnet_policy policy = TakePolicy(&request->in, templates);
  cygnet_refusal refusal = NewRefusal();
  uint32_t handle = 0;
  const int32_t result = driver.packet.add_policy(device, &policy, &handle, &refusal);
  answer->Put(handle);
  PutRefusal(answer, refusal);
  return result;
}

cygnet_reading NewReading() {
  cygnet_reading reading{};
  reading.size = sizeof(reading);
  return reading;
}

int32_t Read(Request* request, Writer* answer) {
  cygnet_reading reading = NewReading();
  const int32_t result = driver.packet.read(device, request->in.Take<uint32_t>(), &reading);
  answer->Put(reading);
  return result;
}

int32_t TakeState(Request* request, Writer* answer) {
  const auto handle = request->in.Take<uint32_t>();
  auto words = request->in.Take<uint32_t>();
  const uint32_t room = words;
  if (room > kMostWords) return -EINVAL;
  uint32_t bitmap[kMostWords];
  cygnet_reading reading = NewReading();
  const int32_t result = driver.packet.take_state(device, handle, &reading, bitmap, &words);
  if (words > room) Breach("take_state used more words than there was room for");
  answer->Put(reading);
  answer->Put(words);
  answer->Bytes(bitmap, words * static_cast<uint32_t>(sizeof(uint32_t)));
  return result;
}

// A packet with its frame in memory of its own. False: no memory.
bool TakeFrame(Reader* in, cygnet_packet* packet) {
  *packet = in->Take<cygnet_packet>();
  const uint8_t* frame = in->Bytes(packet->length);
  if (frame == nullptr || packet->length > kFrameBytes) return false;
  packet->buffer = static_cast<uint8_t*>(malloc(kFrameSlotBytes));
  if (packet->buffer == nullptr) return false;
  packet->head = kHeadroom;
  packet->capacity = kFrameSlotBytes;
  memcpy(packet->buffer + packet->head, frame, packet->length);
  return true;
}

int32_t Loop(Request* request, Writer* answer) {
  const cygnet_sa sa = TakeSa(&request->in);
  const auto n = request->in.Take<uint32_t>();
  cygnet_packet packets[CYGNET_BURST];
  cygnet_packet* pointers[CYGNET_BURST];
  const char* reasons[CYGNET_BURST] = {};
  uint32_t made = 0;
  while (n <= CYGNET_BURST && made < n && TakeFrame(&request->in, &packets[made])) {
    pointers[made] = &packets[made];
    ++made;
  }
  const int32_t result =
      made == n ? driver.loopback.loop(device, &sa, pointers, n, reasons) : -ENOMEM;
  for (uint32_t i = 0; i < made; ++i) {
    const cygnet_packet& p = packets[i];
    if (p.head > p.capacity || p.length > p.capacity - p.head) {
      Breach("a packet of the loopback is longer than its buffer");
    }
    answer->Text(reasons[i]);
    PutFrame(answer, p);
    free(p.buffer);
  }
  return result;
}

int32_t Inject(Request* request, Writer* answer) {
  cygnet_refusal refusal = NewRefusal();
  const int32_t result = driver.faults.inject(device, request->in.Text(), &refusal);
  PutRefusal(answer, refusal);
  return result;
}

int32_t View(Request* request, Writer* answer) {
  const auto room = request->in.Take<uint32_t>();
  auto* text = static_cast<char*>(calloc(1, size_t{room} + 1));
  if (text == nullptr || room > kMessageBytes / 2) return -ENOMEM;
  const uint32_t n = driver.records.view(device, text, room);
  answer->Text(text);
  free(text);
  return static_cast<int32_t>(n);
}

}  // namespace

int32_t HandleDriverExtras(Request* request, Writer* answer) {
  Reader& in = request->in;
  switch (request->call) {
    case Call::kAddPolicy:
      return AddPolicy(request, answer);
    case Call::kRemovePolicy:
      driver.packet.remove_policy(device, in.Take<uint32_t>());
      return 0;
    case Call::kGrant: {
      const auto handle = in.Take<uint32_t>();
      const auto block = in.Take<cygnet_numbers>();
      driver.packet.grant(device, handle, &block);
      return 0;
    }
    case Call::kSetLimits: {
      const auto handle = in.Take<uint32_t>();
      const auto limits = in.Take<cygnet_limits>();
      driver.packet.set_limits(device, handle, &limits);
      return 0;
    }
    case Call::kAdvanceEsn: {
      const auto handle = in.Take<uint32_t>();
      driver.table.advance_esn(device, handle, in.Take<uint64_t>());
      return 0;
    }
    case Call::kRead:
      return Read(request, answer);
    case Call::kTakeState:
      return TakeState(request, answer);
    case Call::kSetMirror:
      return driver.packet.set_mirror(device, in.Take<uint32_t>());
    case Call::kLoop:
      return Loop(request, answer);
    case Call::kInject:
      return Inject(request, answer);
    case Call::kView:
      return View(request, answer);
    case Call::kTakeEvents:
      return List<cygnet_event>(request, answer, [](cygnet_event* events, uint32_t room) {
        return driver.packet.take_events(device, events, room);
      });
    case Call::kTakeErased:
      return List<uint32_t>(request, answer, [](uint32_t* handles, uint32_t room) {
        return driver.table.take_erased(device, handles, room);
      });
    case Call::kHeld:
      return List<cygnet_sa_id>(request, answer, [](cygnet_sa_id* ids, uint32_t room) {
        return driver.records.held(device, ids, room);
      });
    case Call::kKeyLog:
      return List<cygnet_key_log_entry>(request, answer,
                                        [](cygnet_key_log_entry* entries, uint32_t room) {
                                          return driver.records.key_log(device, entries, room);
                                        });
    case Call::kTakeFindings:
      return List<cygnet_finding>(request, answer, [](cygnet_finding* findings, uint32_t room) {
        return driver.findings.take(device, findings, room);
      });
    default:
      return -ENOSYS;
  }
}

}  // namespace cygnet::isolation
