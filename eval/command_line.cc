#include "eval/command_line.h"

#include <cstdio>

namespace ft::eval {

int report(const Result<void>& result) {
  if (result) return 0;
  fmt::print(stderr, "foretoken-eval: {}\n", result.error().message);
  return kBadInput;
}

void add_cpu(CLI::App* command, CpuOptions& cpu) {
  command->add_option("--threads", cpu.threads, "CPU threads, 0 = all cores")
      ->check(within(0, 1024))
      ->capture_default_str();
  command
      ->add_option("--cpu-target", cpu.target,
                   "instruction set: auto, avx512-bf16, avx512-vnni, avx512 or avx2")
      ->capture_default_str();
}

void add_prefill_gemm(CLI::App* command, std::string& choice) {
  command
      ->add_option(
          "--prefill-gemm", choice,
          "linears of more than 64 prompt rows of a request: invariant, or cublaslt on a CUDA device")
      ->capture_default_str();
}

CLI::Option* add_session(CLI::App* command, SessionOptions& session) {
  CLI::Option* model = command->add_option("--model", session.model, "checkpoint directory")
                           ->required()
                           ->capture_default_str();
  command->add_option("--backend", session.backend, "auto, cpu, cuda or reference")->capture_default_str();
  command->add_option("--mode", session.mode, "numerics: official (as served) or exact")
      ->capture_default_str();
  add_prefill_gemm(command, session.prefill_gemm);
  add_cpu(command, session.cpu);
  return model;
}

}  // namespace ft::eval
