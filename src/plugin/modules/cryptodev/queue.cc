#include "plugin/modules/cryptodev/queue.h"

#include <rte_byteorder.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

namespace cygnet::cryptodev {
namespace {

constexpr uint32_t kEsnBytes = 4;
constexpr uint32_t kHeadroom = RTE_PKTMBUF_HEADROOM;
constexpr uint32_t kCopyRoom = 10000 + 64 + 2 * kHeadroom;  // text, ESP header and IV, ESN

OpRoom* RoomOf(rte_crypto_op* op) {
  void* room = rte_crypto_op_ctod_offset(op, char*, kRoomOffset);
  return static_cast<OpRoom*>(room);
}
rte_iova_t RoomAddress(const rte_crypto_op* op, std::size_t offset) {
  return rte_crypto_op_ctophys_offset(op, kRoomOffset + offset);
}

std::string UniqueName(const char* what) {
  static uint32_t number = 0;
  return "cygnet_" + std::string(what) + std::to_string(number++);
}

const Session& SessionOf(const cygnet_crypto_job& job) {
  return *static_cast<const Session*>(job.session);
}

// Where the bytes begin that the device sees.
uint8_t* FrontOf(const cygnet_crypto_job& job) {
  if (SessionOf(job).suite().aead) return job.text;
  return job.text - (job.text - job.auth_begin);
}

bool HasEsnWord(const cygnet_crypto_job& job) {
  return !SessionOf(job).suite().aead && job.append_esn_high == 1;
}

}  // namespace

std::unique_ptr<Queue> Queue::Make(Device* device) {
  const auto pair = device->TakeQueuePair();
  if (!pair.has_value()) return nullptr;
  std::unique_ptr<Queue> queue(new Queue(device, *pair));
  return queue->TakeMemory() ? std::move(queue) : nullptr;
}

bool Queue::TakeMemory() {
  const uint32_t depth = device_.depth();
  op_pool_ = rte_crypto_op_pool_create(UniqueName("ops").c_str(), RTE_CRYPTO_OP_TYPE_SYMMETRIC,
                                       depth, 0, sizeof(OpRoom), SOCKET_ID_ANY);
  packet_pool_ = rte_pktmbuf_pool_create(UniqueName("packets").c_str(), depth, 0, 0,
                                         device_.copies() ? kCopyRoom : 0, SOCKET_ID_ANY);
  if (op_pool_ == nullptr || packet_pool_ == nullptr) return false;
  free_.resize(depth);
  if (rte_crypto_op_bulk_alloc(op_pool_, RTE_CRYPTO_OP_TYPE_SYMMETRIC, free_.data(),
                               static_cast<uint16_t>(depth)) == 0) {
    return false;
  }
  for (rte_crypto_op* op : free_) {
    RoomOf(op)->packet = rte_pktmbuf_alloc(packet_pool_);
    if (RoomOf(op)->packet == nullptr) return false;
  }
  done_.resize(std::bit_ceil(depth));
  early_.resize(std::bit_ceil(depth));
  return true;
}

Queue::~Queue() {
  constexpr std::chrono::milliseconds kPatience{CYGNET_PATIENCE_MS};
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  rte_crypto_op* ops[kBurst];
  while (enqueued_ != dequeued_ && std::chrono::steady_clock::now() < deadline) {
    const uint16_t n = rte_cryptodev_dequeue_burst(device_.id(), pair_, ops, kBurst);
    dequeued_ += n;
    if (n == 0) std::this_thread::yield();
  }
  // Otherwise the device may still write to its operations: pair and memory stay out of use.
  if (enqueued_ != dequeued_) return;
  device_.GiveQueuePair(pair_);
  rte_mempool_free(op_pool_);
  rte_mempool_free(packet_pool_);
}

// --- Submit ---

uint32_t Queue::Submit(cygnet_crypto_job* const* jobs, uint32_t count) {
  rte_crypto_op* ops[kBurst];
  uint32_t n = 0;
  uint32_t accepted = 0;
  const auto limit = std::min({count, kBurst, static_cast<uint32_t>(free_.size())});
  for (; accepted < limit; ++accepted) {
    const cygnet_crypto_job& job = *jobs[accepted];
    const uint32_t status = StatusWithoutDevice(job);
    if (status != 0) {
      // Those before it go in first, so that their number is known.
      const uint32_t refused = Enqueue(ops, std::exchange(n, 0));
      if (refused != 0) return accepted - refused;
      if (early_tail_ - early_head_ == early_.size()) return accepted;
      early_[early_tail_++ & (early_.size() - 1)] = {enqueued_, {job.cookie, status, 0}};
      continue;
    }
    rte_crypto_op* op = free_.back();
    free_.pop_back();
    Prepare(op, job);
    ops[n++] = op;
  }
  return accepted - Enqueue(ops, n);
}

// Returns how many the device did not accept, from the end.
uint32_t Queue::Enqueue(rte_crypto_op** ops, uint32_t count) {
  uint32_t begin = 0;
  while (begin < count) {
    const uint16_t n = rte_cryptodev_enqueue_burst(device_.id(), pair_, ops + begin,
                                                   static_cast<uint16_t>(count - begin));
    begin += n;
    enqueued_ += n;
    // The device has begun with this one and given up: its bytes may have changed.
    if (begin < count && ops[begin]->status != RTE_CRYPTO_OP_STATUS_NOT_PROCESSED) {
      early_[early_tail_++ & (early_.size() - 1)] = {enqueued_, Finish(ops[begin])};
      ++begin;
      continue;
    }
    if (n == 0) break;
  }
  for (uint32_t i = count; i > begin; --i) Undo(ops[i - 1]);
  return count - begin;
}

// Answers what the device cannot: lengths that the cipher does not have, and AADs that ESP does
// not have.
uint32_t Queue::StatusWithoutDevice(const cygnet_crypto_job& job) {
  const Session& session = SessionOf(job);
  const Suite& suite = session.suite();
  if (session.For(job.aad_length) == nullptr) return CYGNET_NOT_DONE;
  if (suite.cipher == nullptr) return 0;
  const uint32_t shortest = suite.seal ? suite.text_front : 0;
  const bool fits = job.text_length % suite.cipher->block_bytes == 0 && job.text_length >= shortest;
  return fits ? 0 : CYGNET_ERROR;
}

void Queue::PointToPacket(rte_mbuf* packet, const uint8_t* bytes, uint32_t length) {
  if (device_.copies()) {
    packet->data_off = kHeadroom;
    std::memcpy(rte_pktmbuf_mtod(packet, uint8_t*), bytes, length);
  } else {
    packet->buf_addr = const_cast<uint8_t*>(bytes);
    packet->buf_iova = reinterpret_cast<rte_iova_t>(bytes);
    packet->buf_len = static_cast<uint16_t>(length);
    packet->data_off = 0;
  }
  packet->data_len = static_cast<uint16_t>(length);
  packet->pkt_len = length;
}

// The ICV is in the operation's own memory, because the word of the ESN lies where it is in the
// packet.
void Queue::Prepare(rte_crypto_op* op, const cygnet_crypto_job& job) {
  const Session& session = SessionOf(job);
  const Suite& suite = session.suite();
  OpRoom* room = RoomOf(op);
  room->job = &job;
  uint8_t* front = FrontOf(job);
  uint8_t* end = job.text + job.text_length;
  const auto offset = static_cast<uint32_t>(job.text - front);
  uint32_t length = offset + job.text_length;
  if (!suite.seal) std::memcpy(room->icv.data(), job.icv, suite.icv_bytes);
  if (HasEsnWord(job)) {
    const rte_be32_t word = rte_cpu_to_be_32(job.esn_high);
    if (!device_.copies()) {
      std::memcpy(room->under_esn.data(), end, kEsnBytes);
      std::memcpy(end, &word, kEsnBytes);
    }
    PointToPacket(room->packet, front, device_.copies() ? length : length + kEsnBytes);
    if (device_.copies()) {
      std::memcpy(rte_pktmbuf_append(room->packet, kEsnBytes), &word, kEsnBytes);
    }
    length += kEsnBytes;
  } else {
    PointToPacket(room->packet, front, length);
  }
  std::memcpy(room->iv.data(), job.nonce, room->iv.size());
  if (suite.counter_mode()) {  // RFC 3686 section 4: nonce ‖ IV ‖ block counter from 1
    const rte_be32_t one = rte_cpu_to_be_32(1);
    std::memcpy(room->iv.data() + 12, &one, sizeof(one));
  }
  op->status = RTE_CRYPTO_OP_STATUS_NOT_PROCESSED;
  op->sess_type = RTE_CRYPTO_OP_WITH_SESSION;
  rte_crypto_sym_op* sym = op->sym;
  sym->m_src = room->packet;
  sym->m_dst = nullptr;
  sym->session = session.For(job.aad_length);
  if (suite.aead) {
    std::memcpy(room->aad.data(), job.aad, job.aad_length);
    sym->aead.data.offset = 0;
    sym->aead.data.length = job.text_length;
    sym->aead.aad.data = room->aad.data();
    sym->aead.aad.phys_addr = RoomAddress(op, offsetof(OpRoom, aad));
    sym->aead.digest.data = room->icv.data();
    sym->aead.digest.phys_addr = RoomAddress(op, offsetof(OpRoom, icv));
    return;
  }
  sym->cipher.data.offset = offset;
  sym->cipher.data.length = suite.cipher != nullptr ? job.text_length : 0;
  sym->auth.data.offset = 0;
  sym->auth.data.length = length;
  sym->auth.digest.data = room->icv.data();
  sym->auth.digest.phys_addr = RoomAddress(op, offsetof(OpRoom, icv));
}

void Queue::Undo(rte_crypto_op* op) {
  OpRoom* room = RoomOf(op);
  const cygnet_crypto_job& job = *room->job;
  if (HasEsnWord(job) && !device_.copies()) {
    std::memcpy(job.text + job.text_length, room->under_esn.data(), kEsnBytes);
  }
  free_.push_back(op);
}

// --- Poll ---

cygnet_completion Queue::Finish(rte_crypto_op* op) {
  OpRoom* room = RoomOf(op);
  const cygnet_crypto_job& job = *room->job;
  const Suite& suite = SessionOf(job).suite();
  const bool ok = op->status == RTE_CRYPTO_OP_STATUS_SUCCESS;
  const bool in_place = !device_.copies();
  Undo(op);
  if (ok && !in_place) {
    const auto offset = job.text - FrontOf(job);
    std::memcpy(job.text, rte_pktmbuf_mtod(room->packet, uint8_t*) + offset, job.text_length);
  }
  if (ok && suite.seal) std::memcpy(job.icv, room->icv.data(), suite.icv_bytes);
  // Devices decrypt before they know that the ICV is wrong.
  const bool encrypts = suite.aead || suite.cipher != nullptr;
  if (!ok && in_place && !suite.seal && encrypts) std::memset(job.text, 0, job.text_length);
  const uint32_t status = ok                                               ? CYGNET_OK
                          : op->status == RTE_CRYPTO_OP_STATUS_AUTH_FAILED ? CYGNET_AUTH_FAILED
                                                                           : CYGNET_ERROR;
  return {job.cookie, status, 0};
}

void Queue::PushEarly() {
  while (early_head_ != early_tail_) {
    const Early& early = early_[early_head_ & (early_.size() - 1)];
    if (early.after > dequeued_) return;
    Push(early.completion);
    ++early_head_;
  }
}

void Queue::Collect() {
  rte_crypto_op* ops[kBurst];
  PushEarly();
  const uint16_t n = rte_cryptodev_dequeue_burst(device_.id(), pair_, ops, kBurst);
  for (uint16_t i = 0; i < n; ++i) {
    Push(Finish(ops[i]));
    ++dequeued_;
    PushEarly();
  }
}

uint32_t Queue::Poll(cygnet_completion* done, uint32_t room) {
  Collect();
  const uint32_t n = std::min(room, done_tail_ - done_head_);
  for (uint32_t i = 0; i < n; ++i) done[i] = done_[done_head_++ & (done_.size() - 1)];
  return n;
}

}  // namespace cygnet::cryptodev
