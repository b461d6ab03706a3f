#include "eval/bench_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/cpu/target.h"
#include "eval/machine_speed.h"

namespace ft::eval {

Result<void> run_bench_memory(const BenchMemoryOptions& options, std::FILE* out) {
  if (auto fine = cpu::use_target(options.cpu.target); !fine) return fine;
  struct Figure {
    std::string_view name;
    std::vector<double> values;  // 1e9 a second
  };
  Figure figures[] = {{"read, GB/s", {}},
                      {"read with huge pages, GB/s", {}},
                      {"copy, GB/s read and written", {}},
                      {"copy with huge pages", {}},
                      {"float32 multiply-adds, Gflop/s", {}}};
  for (int round = 0; round < options.rounds; ++round) {
    const MemorySpeed small = measure_host_memory(options.cpu.threads, options.seconds, Pages::kSmall);
    const MemorySpeed huge = measure_host_memory(options.cpu.threads, options.seconds, Pages::kHuge);
    const double flops = measure_host_flops(options.cpu.threads, options.seconds);
    const double values[] = {small.read_bytes_per_s, huge.read_bytes_per_s, small.copy_bytes_per_s,
                             huge.copy_bytes_per_s, flops};
    for (size_t i = 0; i < std::size(figures); ++i) figures[i].values.push_back(values[i] * 1e-9);
  }
  fmt::print(out, "{:<34}{:>10}{:>10}{:>10}\n", fmt::format("instruction set {}", cpu::target_name()),
             "median", "least", "most");
  for (Figure& figure : figures) {
    std::sort(figure.values.begin(), figure.values.end());
    fmt::print(out, "{:<34}{:>10.1f}{:>10.1f}{:>10.1f}\n", figure.name,
               figure.values[figure.values.size() / 2], figure.values.front(), figure.values.back());
  }
  return {};
}

}  // namespace ft::eval
