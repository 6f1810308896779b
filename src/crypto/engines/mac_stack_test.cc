// HMAC must leave no key state on a worker's stack.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <vector>

#include "crypto/engines/openssl_library.h"
#include "crypto/engines/openssl_mac.h"

namespace cygnet::openssl {
namespace {

// Runs `fn` in a thread and returns its stack as `fn` left it.
std::vector<uint8_t> StackAfter(const std::function<void()>& fn) {
  constexpr std::size_t kBytes = std::size_t{1} << 20;
  std::vector<uint8_t> stack(kBytes + 4096);
  auto* base = reinterpret_cast<uint8_t*>((reinterpret_cast<std::uintptr_t>(stack.data()) + 4095) &
                                          ~std::uintptr_t{4095});
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  EXPECT_EQ(pthread_attr_setstack(&attributes, base, kBytes), 0);
  pthread_t thread;
  const auto run = [](void* p) -> void* {
    (*static_cast<const std::function<void()>*>(p))();
    return nullptr;
  };
  auto* argument = const_cast<std::function<void()>*>(&fn);
  EXPECT_EQ(pthread_create(&thread, &attributes, run, argument), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  return stack;
}

// The state of SHA-2 in memory: words in host order.
std::vector<uint8_t> AsWords(std::vector<uint8_t> digest, std::size_t word) {
  for (std::size_t i = 0; i + word <= digest.size(); i += word) {
    std::reverse(digest.begin() + static_cast<std::ptrdiff_t>(i),
                 digest.begin() + static_cast<std::ptrdiff_t>(i + word));
  }
  return digest;
}

// The leftover state would reveal the whole MAC, of which the wire shows half.
TEST(MacStackTest, TheStateOfAnHmacIsWiped) {
  const std::array<uint8_t, 32> key = {1, 2, 3, 4, 5, 6, 7, 8};
  const std::array<uint8_t, 20> message = {9, 9, 9};
  struct Row {
    AlgorithmId id;
    const EVP_MD* digest;
    std::size_t word;
  };
  for (const Row& row : {Row{AlgorithmId::kHmacSha256, EVP_sha256(), 4},
                         Row{AlgorithmId::kHmacSha384, EVP_sha384(), 8},
                         Row{AlgorithmId::kHmacSha512, EVP_sha512(), 8}}) {
    const auto algorithm =
        std::find_if(AllAlgorithms().begin(), AllAlgorithms().end(),
                     [&row](const AlgorithmDescriptor& a) { return a.id == row.id; });
    const auto library = Library::Default();
    ASSERT_NE(library, nullptr);
    const auto mac = Hmac::Create(*library, *algorithm, key, 1);
    ASSERT_TRUE(mac.has_value());
    static MacOutput out;  // not on the stack
    const auto stack = StackAfter([&] { ASSERT_TRUE(mac->Compute(0, message, {}, &out)); });
    std::vector<uint8_t> whole(EVP_MAX_MD_SIZE);
    unsigned size = 0;
    ASSERT_NE(HMAC(row.digest, key.data(), static_cast<int>(key.size()), message.data(),
                   message.size(), whole.data(), &size),
              nullptr);
    whole.resize(size);
    ASSERT_TRUE(std::equal(whole.begin(), whole.end(), out.begin()));
    const std::vector<uint8_t> state = AsWords(whole, row.word);
    EXPECT_EQ(std::search(stack.begin(), stack.end(), state.begin(), state.end()), stack.end())
        << algorithm->name;
  }
}

}  // namespace
}  // namespace cygnet::openssl
