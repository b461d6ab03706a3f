#include "eval/results/environment.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/fnv.h"
#include "core/machine_memory.h"
#include "scheduler/speculation/learned_state.h"

namespace ft::eval {

namespace {

namespace fs = std::filesystem;

constexpr int64_t kSampleBytes = int64_t{1} << 20;

Result<uint64_t> hash_file(const fs::path& path, uint64_t hash) {
  std::ifstream file(path, std::ios::binary);
  std::error_code error;
  const auto size = static_cast<int64_t>(fs::file_size(path, error));
  if (!file || error) return fail(ErrorCode::kNotFound, "{}: cannot be read", path.string());
  hash = fnv1a(path.filename().string(), hash);
  hash = fnv1a(std::to_string(size), hash);
  std::string bytes(static_cast<size_t>(std::min(size, kSampleBytes)), '\0');
  for (const int64_t from : {int64_t{0}, std::max<int64_t>(0, size - kSampleBytes)}) {
    file.seekg(from);
    if (!file.read(bytes.data(), std::ssize(bytes)))
      return fail(ErrorCode::kInvalidFile, "{}: cannot be read", path.string());
    hash = fnv1a(bytes, hash);
  }
  return hash;
}

}  // namespace

Json code_json() {
  return {{"version", FT_VERSION}, {"compiler", __VERSION__}};
}

Json hardware_json(const std::string& backend) {
  return {{"processor", scheduler::processor_name()},
          {"cores", std::thread::hardware_concurrency()},
          {"memory", bytes_text(host_memory_limit().bytes)},
          {"backend", backend}};
}

Result<Json> model_json(const std::string& path, const ModelConfig& config) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error))
    if (entry.path().filename() == "config.json" || entry.path().extension() == ".safetensors")
      files.push_back(entry.path());
  if (error) return fail(ErrorCode::kNotFound, "{}: {}", path, error.message());
  std::ranges::sort(files);
  uint64_t hash = kFnvStart;
  for (const fs::path& file : files) {
    const auto hashed = hash_file(file, hash);
    if (!hashed) return tl::make_unexpected(hashed.error());
    hash = *hashed;
  }
  return Json{{"path", path},
              {"fingerprint", fmt::format("{:016x}", hash)},
              {"layers", config.num_hidden_layers},
              {"hidden", config.hidden_size},
              {"experts", config.n_routed_experts},
              {"vocab", config.vocab_size},
              {"draft_block", config.has_dspark() ? config.dspark.block_size : 0}};
}

std::string utc_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace ft::eval
