// SPDX-License-Identifier: Apache-2.0
// tokenbench [ROUNDS [SOCKET KEY]]: what Token::sign costs over the bare C_SignInit and C_Sign of the same SoftHSM2
// token with the same key, in one process, the two taking turns. Prints, for one thread and two and for each type of
// key, signatures per second and CPU time per signature of both, and the median of the rounds' ratios. With the socket
// of a running fipsd and the name of an RSA-2048 key there, its rate to as many clients is measured in turn with them.
// tokenbench loop COUNT: COUNT bare RSA and Ed25519 signatures; prints by how many bytes the process grew.
#include <dlfcn.h>
#include <fmt/format.h>
#include <p11-kit/pkcs11.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "keystore/client/client.h"
#include "keystore/token/token.h"

namespace {

using namespace postern;
using keystore::KeyRef;
using x509::KeyType;

[[noreturn]] void stop(const std::string& why) {
  fmt::print(stderr, "tokenbench: {}\n", why);
  exit(1);
}

template <class T>
T need(base::Result<T> result) {
  if (!result) stop(result.error().text());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](timeval t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Figure {
  double per_second = 0;
  double cpu = 0;  // seconds each
};

// measure runs `worker` (which signs once each call, and is made by each thread for itself) for a slice of time.
Figure measure(int threads, const std::function<std::function<void()>()>& make_worker) {
  std::atomic<int> ready = 0;
  std::atomic<bool> go = false;
  std::chrono::steady_clock::time_point until;  // set before `go`
  std::atomic<uint64_t> done = 0;
  std::vector<std::thread> running;
  for (int n = 0; n < threads; ++n) {
    running.emplace_back([&] {
      auto worker = make_worker();
      worker();
      ++ready;
      while (!go) std::this_thread::yield();
      uint64_t mine = 0;
      for (; std::chrono::steady_clock::now() < until; ++mine) worker();
      done += mine;
    });
  }
  while (ready < threads) std::this_thread::yield();
  double cpu = cpu_seconds();
  auto begin = std::chrono::steady_clock::now();
  until = begin + std::chrono::milliseconds(500);
  go = true;
  for (std::thread& thread : running) thread.join();
  double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  auto count = static_cast<double>(done);
  return {count / wall, (cpu_seconds() - cpu) / count};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Bare {
  CK_FUNCTION_LIST* calls = nullptr;
  CK_SLOT_ID slot = 0;

  std::function<void()> worker(const KeyRef& key) const {
    CK_SESSION_HANDLE session = 0;
    if (calls->C_OpenSession(slot, CKF_SERIAL_SESSION, nullptr, nullptr, &session) != CKR_OK) stop("no session");
    CK_OBJECT_CLASS kind = CKO_PRIVATE_KEY;
    keystore::KeyId id = key.id;
    CK_ATTRIBUTE what[] = {{CKA_CLASS, &kind, sizeof kind}, {CKA_ID, id.data(), id.size()}};
    CK_OBJECT_HANDLE handle = 0;
    CK_ULONG count = 0;
    calls->C_FindObjectsInit(session, what, 2);
    calls->C_FindObjects(session, &handle, 1, &count);
    calls->C_FindObjectsFinal(session);
    if (count != 1) stop("no key");
    CK_MECHANISM_TYPE type = key.type == KeyType::rsa       ? CKM_RSA_PKCS
                             : key.type == KeyType::ed25519 ? CKM_EDDSA
                                                            : CKM_ECDSA;
    // As long as a DigestInfo with SHA-256, or as the digest.
    std::string input(key.type == KeyType::rsa ? 51 : 32, 'x');
    return [this, session, handle, type, input]() mutable {
      CK_MECHANISM mechanism{type, nullptr, 0};
      unsigned char out[512];
      CK_ULONG size = sizeof out;
      if (calls->C_SignInit(session, &mechanism, handle) != CKR_OK ||
          calls->C_Sign(session, reinterpret_cast<unsigned char*>(input.data()), input.size(), out, &size) != CKR_OK) {
        stop("C_Sign failed");
      }
    };
  }
};

// through_fipsd signs by a client of its own, as another process would.
std::function<void()> through_fipsd(const std::string& socket, const std::string& key) {
  auto client = std::make_shared<keystore::Client>(keystore::ClientOptions{socket, 1});
  return [client, key] {
    const std::string input(32, 'x');
    const crypto::SignRequest request{key, x509::SignAlgorithm::rsa_pkcs1, x509::Hash::sha256, input};
    auto answers = client->sign({&request, 1}, std::chrono::steady_clock::now() + std::chrono::seconds(30));
    if (!answers[0]) stop("fipsd: " + answers[0].error().text());
  };
}

long resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  long all = 0, resident = 0;
  statm >> all >> resident;
  return resident * 4096;
}

void loop(const std::vector<std::function<void()>>& workers, long count) {
  const auto run = [&](long times) {
    for (long i = 0; i < times; ++i) {
      for (const auto& worker : workers) worker();
    }
  };
  run(std::max(1000L, count / 20));
  const long before = resident_bytes();
  run(count);
  fmt::print("{}\n", resident_bytes() - before);
}

}  // namespace

int main(int argc, char** argv) {
  const bool looping = argc == 3 && std::string(argv[1]) == "loop";
  int rounds = looping ? 0 : argc > 1 ? atoi(argv[1]) : 7;
  const bool with_fipsd = argc == 4;
  std::string directory = (std::filesystem::temp_directory_path() / "tokenbench-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) stop("no temporary directory");
  keystore::TokenOptions options;
  options.softhsm_directory = directory + "/tokens";
  options.scratch = directory;
  {
    auto token = need(keystore::Token::open(options));
    keystore::Secret so_pin("so-pin-of-the-bench"), user_pin("user-pin-of-the-bench");
    need(token->initialise(so_pin, user_pin));
    need(token->login(user_pin));
    Bare bare;
    void* library = dlopen(options.module.c_str(), RTLD_NOW | RTLD_NOLOAD);
    auto get_list = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
    CK_ULONG slots = 1;
    if (get_list == nullptr || get_list(&bare.calls) != CKR_OK) stop("no function list");
    std::vector<CK_SLOT_ID> all(64);
    slots = all.size();
    if (bare.calls->C_GetSlotList(CK_TRUE, all.data(), &slots) != CKR_OK || slots == 0) stop("no slot");
    bare.slot = all[0];
    uint8_t n = 0;
    std::vector<std::function<void()>> loopers;
    for (KeyType type : {KeyType::rsa, KeyType::ec_p256, KeyType::ed25519}) {
      keystore::KeyId id{};
      id[0] = ++n;
      KeyRef key = need(token->generate(id, "bench", type, 2048, false));
      auto algorithm = type == KeyType::rsa       ? x509::SignAlgorithm::rsa_pkcs1
                       : type == KeyType::ed25519 ? x509::SignAlgorithm::eddsa
                                                  : x509::SignAlgorithm::ecdsa;
      auto hash = type == KeyType::ed25519 ? x509::Hash::none : x509::Hash::sha256;
      const std::string input(32, 'x');
      auto ours = [&]() -> std::function<void()> {
        std::shared_ptr<keystore::Session> session = token->session();
        return [&, session] { need(token->sign(*session, key, algorithm, hash, input)); };
      };
      if (looping) {
        if (type != KeyType::ec_p256) loopers.push_back(bare.worker(key));
        continue;
      }
      for (int threads : {1, 2}) {
        std::vector<double> fipsd_rate, fipsd_ratio;
        std::vector<double> rate, cpu, bare_rate, our_rate;
        for (int round = 0; round < rounds; ++round) {
          Figure b = measure(threads, [&] { return bare.worker(key); });
          Figure o = measure(threads, ours);
          rate.push_back(o.per_second / b.per_second);
          cpu.push_back(o.cpu / b.cpu);
          bare_rate.push_back(b.per_second);
          our_rate.push_back(o.per_second);
          if (!with_fipsd || type != KeyType::rsa) continue;
          Figure f = measure(threads, [&] { return through_fipsd(argv[2], argv[3]); });
          fipsd_rate.push_back(f.per_second);
          fipsd_ratio.push_back(f.per_second / b.per_second);
        }
        fmt::print("{:8} {} thread{}: bare {:7.0f}/s  Token::sign {:7.0f}/s  rate x {:.3f}  CPU each x {:.3f}\n",
                   x509::key_type_name(type), threads, threads == 1 ? " " : "s", median(bare_rate), median(our_rate),
                   median(rate), median(cpu));
        if (fipsd_rate.empty()) continue;
        fmt::print("{:8} {} client{}: fipsd {:6.0f}/s  rate x {:.3f}\n", "rsa", threads, threads == 1 ? " " : "s",
                   median(fipsd_rate), median(fipsd_ratio));
      }
    }
    if (looping) loop(loopers, atol(argv[2]));
  }
  std::filesystem::remove_all(directory);
  return 0;
}
