// EngineBench: an engine by others between a check and packets in memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "conformance/check.h"
#include "plugin/engine_plugin.h"

namespace cygnet::conformance {

using EngineBytes = std::vector<uint8_t>;

// Algorithms with their lengths.
struct EngineSuite {
  const AlgorithmDescriptor* cipher = nullptr;
  const AlgorithmDescriptor* auth = nullptr;
  std::size_t key_bytes = 0;  // including the salt
  uint8_t icv_bytes = 0;
  bool encrypts() const { return cipher->id != AlgorithmId::kNullCipher && !cipher->iv_in_aad; }
  std::string Text() const;  // "rfc4106(gcm(aes)), key 16, ICV 16"
};
// All of the table.
std::vector<EngineSuite> AllEngineSuites();

// The keys of an SA. They differ by `number`.
struct EngineKeys {
  EngineKeys(const EngineSuite& suite, uint32_t number);
  EngineBytes key, auth_key;
};
SessionParams ParamsOf(const EngineSuite& suite, const EngineKeys& keys, CryptoDirection direction);

// ESP header ‖ IV ‖ text ‖ ICV, with bytes on both sides that nobody may change.
class EnginePacket {
 public:
  enum class Esn : uint8_t { kNo, kYes };

  // `text_bytes` is rounded up to the cipher's block; `shift`: of the ESP header from a multiple of
  // 64; `seed`: of the contents.
  EnginePacket(const EngineSuite& suite, std::size_t text_bytes, std::size_t shift, Esn esn,
               uint32_t seed);
  CryptoJob Job(CryptoSession* session, CryptoDirection direction);
  std::span<uint8_t> text();
  std::span<uint8_t> icv();
  std::span<uint8_t> header() { return {esp(), 8}; }
  // All bytes; header to ICV without the fences.
  const EngineBytes& all() const { return bytes_; }
  std::span<uint8_t> packet() { return {esp(), size_}; }
  bool FencesStand() const;

 private:
  uint8_t* esp() { return bytes_.data() + front_; }

  EngineSuite suite_;
  Esn esn_;
  uint32_t esn_high_;
  std::size_t front_;
  std::size_t size_;
  EngineBytes bytes_;
};

// Both directions of an SA.
struct EngineSessions {
  std::unique_ptr<CryptoSession> seal, open;
};

class EngineBench {
 public:
  static constexpr uint32_t kDepth = 64;

  static ::cygnet::Result<std::unique_ptr<EngineBench>> Open(const Subject& subject);

  CryptoEngine& engine() { return *engine_; }
  CryptoQueue* queue() { return queue_.get(); }
  const std::string& about_version() const { return version_; }
  const std::string& about_vendor() const { return vendor_; }
  // How it broke the contract; empty: not seen.
  std::string breach() const { return engine_->failure(); }
  // Suites for which it says that it makes sessions, and does.
  const std::vector<EngineSuite>& suites() const { return suites_; }
  // One that every check can use: an AEAD, if there is one. REQUIRES: suites() is not empty.
  const EngineSuite& suite() const { return suites_[0]; }

  // nullptr: refused.
  std::unique_ptr<CryptoSession> Session(const EngineSuite& suite, uint32_t number,
                                         CryptoDirection direction, uint32_t queues = 1);
  EngineSessions Sessions(const EngineSuite& suite, uint32_t number);
  // Of the reference: OpenSSL in this program.
  EngineSessions ReferenceSessions(const EngineSuite& suite, uint32_t number);

  // Runs until all are finished, or none finishes for five seconds; what the engine returns undone
  // stays kNotDone.
  static void Run(CryptoQueue* queue, std::span<CryptoJob> jobs);
  void Run(std::span<CryptoJob> jobs) { Run(queue_.get(), jobs); }
  CryptoStatus Run(CryptoJob job);
  // Polls until `wanted` more jobs have completed, or none completes for five seconds.
  void Finish(std::size_t wanted);
  CryptoStatus RunReference(CryptoJob job);

 private:
  EngineBench() = default;
  void FindSuites();

  std::string version_, vendor_;
  std::unique_ptr<PluginEngine> engine_;
  std::unique_ptr<CryptoEngine> reference_;
  std::unique_ptr<CryptoQueue> queue_, reference_queue_;
  std::vector<EngineSuite> suites_;
};

}  // namespace cygnet::conformance
