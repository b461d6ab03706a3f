#include "eval/bench_kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/backend_factory.h"
#include "eval/bench_cases.h"
#include "eval/machine_speed.h"

namespace ft::eval {
namespace {

constexpr int64_t kRowCounts[] = {1, 2, 4, 6, 8, 16};

// Median seconds of a call with `rows` rows over calls that fill about `seconds`, each with the next copy of
// the weights. `wait` returns when the call is done.
template <class Wait>
double time_call(const PreparedCase& prepared, int64_t rows, double seconds, const Wait& wait) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  prepared.run(rows, 0);  // first touch
  wait();
  std::vector<double> times;
  const Clock::time_point begin = Clock::now();
  for (int64_t call = 1; since(begin) < seconds || times.size() < 3; ++call) {
    const Clock::time_point start = Clock::now();
    prepared.run(rows, call % prepared.copies);
    wait();
    times.push_back(since(start));
  }
  std::nth_element(times.begin(), times.begin() + static_cast<int64_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

int complain(const std::string& message) {
  fmt::print(stderr, "bench kernels: {}\n", message);
  return 2;
}

}  // namespace

int run_bench_kernels(const BenchKernelOptions& options, std::FILE* out) {
  const auto choice = parse_backend_choice(options.backend);
  if (!choice) return complain(choice.error().message);
  std::string why;
  auto made = make_backend({*choice, Numerics::kOfficial, PrefillGemm::kInvariant, options.cpu}, &why);
  if (!made) return complain(made.error().message);
  Backend& backend = **made;
  std::ofstream file;
  if (!options.json_path.empty()) {
    file.open(options.json_path);
    if (!file) return complain(fmt::format("cannot write {}", options.json_path));
  }

  const bool on_host = backend.name() != "cuda";
  const MemorySpeed memory = on_host ? measure_host_memory(options.cpu.threads, options.seconds_per_case)
                                     : measure_device_memory(backend, options.seconds_per_case);
  fmt::print(out, "backend {}\nmemory: read {:.1f} GB/s, copy {:.1f} GB/s (bytes read and written)\n", why,
             memory.read_bytes_per_s * 1e-9, memory.copy_bytes_per_s * 1e-9);
  fmt::print(out, "{:<34}{:>6}{:>12}{:>10}{:>10}{:>12}\n", "case", "rows", "us", "GB/s", "of read",
             "of 1 row");
  nlohmann::json report = {{"backend", why},
                           {"read_bytes_per_s", memory.read_bytes_per_s},
                           {"copy_bytes_per_s", memory.copy_bytes_per_s},
                           {"cases", nlohmann::json::array()}};

  backend.reserve(bench_config(), kBenchRowsMax);
  const Buffer probe = backend.allocate(sizeof(float));
  const auto wait = [&] {
    float value;
    backend.download(&value, probe.data(), sizeof value);
  };
  for (const BenchCase& bench_case : bench_cases()) {
    if (bench_case.name.find(options.filter) == std::string::npos) continue;
    const PreparedCase prepared =
        bench_case.prepare(backend, static_cast<int64_t>(options.weight_gib * 1073741824.0));
    double one_row = 0.0;
    for (const int64_t rows : kRowCounts) {
      const double seconds = time_call(prepared, rows, options.seconds_per_case, wait);
      if (rows == 1) one_row = seconds;
      const int64_t bytes = prepared.bytes(rows);
      const double speed = static_cast<double>(bytes) / seconds;
      fmt::print(out, "{:<34}{:>6}{:>12.1f}{:>10.2f}{:>9.0f}%{:>12.2f}\n", bench_case.name, rows,
                 seconds * 1e6, speed * 1e-9, 100.0 * speed / memory.read_bytes_per_s, seconds / one_row);
      std::fflush(out);
      report["cases"].push_back({{"name", bench_case.name},
                                 {"rows", rows},
                                 {"seconds", seconds},
                                 {"bytes", bytes},
                                 {"bytes_per_s", speed},
                                 {"fraction_of_read", speed / memory.read_bytes_per_s},
                                 {"ratio_to_one_row", seconds / one_row}});
    }
  }
  if (file.is_open()) {
    file << report.dump(2) << '\n';
    if (!file.flush()) return complain(fmt::format("cannot write {}", options.json_path));
  }
  return 0;
}

}  // namespace ft::eval
