// foretoken-eval: experiments and checks on checkpoints, from the command line.
// Exit codes: 0 done; 2 bad flags, files or values, after one message on stderr.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <iostream>

#include "eval/bench_decode.h"
#include "eval/bench_flash_slice.h"
#include "eval/bench_kernels.h"
#include "eval/draft_command.h"
#include "eval/encoding_commands.h"
#include "eval/generate_command.h"
#include "eval/logits_command.h"

namespace {

using namespace ft;
using namespace ft::eval;

constexpr int kBadInput = 2;

int report(const Result<void>& result) {
  if (result) return 0;
  fmt::print(stderr, "foretoken-eval: {}\n", result.error().message);
  return kBadInput;
}

void add_session(CLI::App* command, SessionOptions& session) {
  command->add_option("--model", session.model, "checkpoint directory")->required();
  command->add_option("--backend", session.backend, "auto, cpu, cuda or reference")->capture_default_str();
  command->add_option("--mode", session.mode, "numerics: official (as served) or exact")
      ->capture_default_str();
  command->add_option("--threads", session.threads, "CPU threads, 0 = all cores")->capture_default_str();
}

void print_summary(const GenerateOptions& options, const GenerateSummary& total) {
  const auto per_step_ms = [&](double seconds) {
    return total.steps == 0 ? 0.0 : 1e3 * seconds / static_cast<double>(total.steps);
  };
  fmt::print(stderr, "{} requests, {} tokens in {:.2f} s ({:.1f} tokens/s); drafter {}, at most {} nodes\n",
             total.requests, total.tokens, total.seconds, static_cast<double>(total.tokens) / total.seconds,
             options.drafter, options.tree_nodes);
  fmt::print(stderr,
             "{} steps, {} drafted, {} accepted, mean accepted length {:.3f}; per step draft {:.2f} ms, "
             "verify {:.2f} ms, "
             "commit {:.2f} ms\n",
             total.steps, total.drafted, total.accepted, total.mean_accepted_length(),
             per_step_ms(total.draft_seconds), per_step_ms(total.verify_seconds),
             per_step_ms(total.commit_seconds));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Experiments and checks on DeepSeek-V4 checkpoints with Foretoken's engine"};
  app.require_subcommand(1);
  std::function<int()> run;

  LogitsOptions logits;
  CLI::App* logits_command = app.add_subcommand("logits", "logits of whole token sequences");
  add_session(logits_command, logits.session);
  logits_command->add_option("--tokens", logits.tokens, "JSON file: a list of token-id lists")->required();
  logits_command->add_option("--out", logits.out, "safetensors file: logits.0, logits.1, ...")->required();
  logits_command->add_option("--chunk", logits.chunk, "rows of one forward call")->capture_default_str();
  logits_command->callback([&] { run = [&] { return report(run_logits(logits)); }; });

  GenerateOptions generate;
  CLI::App* generate_command = app.add_subcommand("generate", "completions of a file of prompts");
  add_session(generate_command, generate.session);
  generate_command
      ->add_option("--prompts", generate.prompts, "JSON Lines: {tokens} or {prompt} or {messages, thinking}")
      ->required();
  generate_command->add_option("--out", generate.out, "JSON Lines, one completion per prompt, in order")
      ->required();
  generate_command->add_option("--max-tokens", generate.max_tokens, "tokens generated per prompt")
      ->capture_default_str();
  generate_command->add_option("--temperature", generate.temperature, "0 = greedy")->capture_default_str();
  generate_command->add_option("--top-p", generate.top_p, "nucleus")->capture_default_str();
  generate_command->add_option("--seed", generate.seed, "prompt i samples with seed + i")
      ->capture_default_str();
  generate_command
      ->add_option("--drafter", generate.drafter, "auto, dspark, mtp, ngram, none, dspark+ngram or mtp+ngram")
      ->capture_default_str();
  generate_command
      ->add_option("--tree-nodes", generate.tree_nodes, "rows verified per step, anchor included; 1 = plain")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  generate_command->add_option("--tree", generate.tree, "best-first or chain")->capture_default_str();
  generate_command->add_option("--concurrency", generate.concurrency, "requests at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  generate_command->add_flag("--ignore-eos", generate.ignore_eos, "the end token does not end a completion");
  generate_command->callback([&] {
    run = [&] {
      GenerateSummary summary;
      const int code = report(run_generate(generate, &summary));
      if (code == 0) print_summary(generate, summary);
      return code;
    };
  });

  std::string cases;
  std::string tokenizer;
  const auto add_cases = [&](const char* name, const char* help, bool with_tokenizer,
                             std::function<int()> body) {
    CLI::App* command = app.add_subcommand(name, help);
    if (with_tokenizer)
      command->add_option("--tokenizer", tokenizer, "tokenizer.json or tokenizer.model")->required();
    command->add_option("--cases", cases, "JSON Lines of cases")->required();
    command->callback([&run, body] { run = body; });
  };
  add_cases("encode", "chat messages to prompt text", false,
            [&] { return run_encode(cases, std::cout, std::cerr); });
  add_cases("parse", "completion text to a message", false,
            [&] { return run_parse(cases, std::cout, std::cerr); });
  add_cases("tokenize", "text to token ids", true,
            [&] { return run_tokenize(tokenizer, cases, std::cout, std::cerr); });
  add_cases("detokenize", "token ids to text", true,
            [&] { return run_detokenize(tokenizer, cases, std::cout, std::cerr); });

  SessionOptions draft_session;
  draft_session.mode = "exact";
  std::string draft_tokens;
  std::string draft_out;
  CLI::App* draft_command = app.add_subcommand("draft", "one draft step after each token sequence");
  add_session(draft_command, draft_session);
  draft_command->add_option("--tokens", draft_tokens, "JSON file: a list of token-id lists")->required();
  draft_command->add_option("--out", draft_out, "safetensors file")->required();
  draft_command->callback([&] {
    run = [&]() -> int {
      const auto sequences = read_token_lists(draft_tokens);
      if (!sequences) return report(tl::make_unexpected(sequences.error()));
      auto session = open_session(draft_session);
      if (!session) return report(tl::make_unexpected(session.error()));
      return report(run_draft(*session->backend, *session->checkpoint, *sequences, draft_out));
    };
  });

  CLI::App* bench = app.add_subcommand("bench", "measurements, as ratios within one run");
  bench->require_subcommand(1);
  BenchDecodeOptions decode;
  CLI::App* decode_command =
      bench->add_subcommand("decode", "tokens per second of drafters and backends on the same prompts");
  decode_command->add_option("--model", decode.model, "checkpoint directory")->required();
  decode_command->add_option("--prompts", decode.prompts, "JSON Lines of prompts")->required();
  decode_command->add_option("--mode", decode.mode, "official or exact")->capture_default_str();
  decode_command
      ->add_option("--arm", decode.arms, "backend/drafter/nodes, several; the first is the baseline")
      ->capture_default_str();
  decode_command->add_option("--threads", decode.threads, "CPU threads, 0 = all cores")
      ->capture_default_str();
  decode_command->add_option("--concurrency", decode.concurrency, "requests at a time")
      ->capture_default_str();
  decode_command->add_option("--max-tokens", decode.max_tokens, "tokens generated per prompt")
      ->capture_default_str();
  decode_command->add_option("--temperature", decode.temperature, "0 = greedy")->capture_default_str();
  decode_command->add_option("--rounds", decode.rounds, "every arm once per round")->capture_default_str();
  decode_command->add_option("--json", decode.json, "also write the figures here");
  decode_command->callback([&] { run = [&] { return report(run_bench_decode(decode)); }; });

  BenchKernelOptions kernels;
  CLI::App* kernels_command =
      bench->add_subcommand("kernels", "ops at the shapes of V4-Flash against the memory bandwidth");
  kernels_command->add_option("--backend", kernels.backend, "auto, cpu, cuda or reference")
      ->capture_default_str();
  kernels_command->add_option("--threads", kernels.threads, "CPU threads, 0 = all cores")
      ->capture_default_str();
  kernels_command->add_option("--seconds", kernels.seconds_per_case, "of each case")->capture_default_str();
  kernels_command
      ->add_option("--weight-gib", kernels.weight_gib, "weights of a case, more than any cache holds")
      ->capture_default_str();
  kernels_command->add_option("--filter", kernels.filter, "only cases whose name contains this");
  kernels_command->add_option("--json", kernels.json_path, "also write the figures here");
  kernels_command->callback([&] { run = [&] { return run_bench_kernels(kernels); }; });

  FlashSliceOptions slice;
  SessionOptions slice_session;
  slice_session.backend = "cuda";
  CLI::App* slice_command = bench->add_subcommand(
      "engine", "a slice of V4-Flash: true dimensions, random weights, time per layer against its bytes");
  slice_command->add_option("--backend", slice_session.backend, "auto, cpu, cuda or reference")
      ->capture_default_str();
  slice_command->add_option("--config", slice.config, "config.json of the model to slice")
      ->capture_default_str();
  slice_command->add_option("--layers", slice.layers, "layers, CSA and HCA in turn")->capture_default_str();
  slice_command->add_option("--rows", slice.rows, "rows of a step, several")->capture_default_str();
  slice_command->add_option("--context", slice.context, "tokens in the cache before the step")
      ->capture_default_str();
  slice_command->add_option("--repeats", slice.repeats, "steps timed per figure")->capture_default_str();
  slice_command->callback([&] {
    run = [&]() -> int {
      const auto backend = open_backend(slice_session);
      if (!backend) return report(tl::make_unexpected(backend.error()));
      return report(bench_flash_slice(**backend, slice, stdout));
    };
  });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kBadInput;
  }
  return run();
}
