#include <cstdio>

#include "core/allocations.h"
#include "eval/bench_decode.h"
#include "eval/bench_flash_slice.h"
#include "eval/bench_kernels.h"
#include "eval/bench_memory.h"
#include "eval/bench_prediction.h"
#include "eval/bench_prefix.h"
#include "eval/bench_scheduler.h"
#include "eval/bench_server.h"
#include "eval/bench_speculation.h"
#include "eval/bench_structured.h"
#include "eval/command_line.h"

namespace ft::eval {

namespace {

void add_decode(CLI::App& bench, Run& run) {
  auto options = std::make_shared<BenchDecodeOptions>();
  CLI::App* command =
      bench.add_subcommand("decode", "tokens per second of drafters and backends on the same prompts");
  command->add_option("--model", options->model, "checkpoint directory")->required();
  command->add_option("--prompts", options->prompts, "JSON Lines of prompts")->required();
  command->add_option("--mode", options->mode, "official or exact")->capture_default_str();
  command
      ->add_option("--arm", options->arms,
                   "backend/drafter/nodes or .../adaptive, several; the first is the baseline")
      ->capture_default_str();
  add_prefill_gemm(command, options->prefill_gemm);
  add_cpu(command, options->cpu);
  command->add_option("--concurrency", options->concurrency, "requests at a time")
      ->check(within(1, 1024))
      ->capture_default_str();
  command->add_option("--max-tokens", options->max_tokens, "tokens generated per prompt")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "0 = greedy")
      ->check(within(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--rounds", options->rounds, "every arm once per round")
      ->check(within(1, 100'000))
      ->capture_default_str();
  command->add_option("--json", options->json, "also write the figures here");
  command->callback([&run, options] {
    run = [options](std::FILE* out) { return report(run_bench_decode(*options, out)); };
  });
}

void add_draft_options(CLI::App& command, BenchDraftsOptions& options) {
  command.add_option("--model", options.session.model, "checkpoint directory")->required();
  command.add_option("--prompts", options.prompts, "JSON Lines of prompts")->required();
  command.add_option("--backend", options.session.backend, "auto, cpu, cuda or reference")
      ->capture_default_str();
  add_prefill_gemm(&command, options.session.prefill_gemm);
  add_cpu(&command, options.session.cpu);
  command.add_option("--drafter", options.drafter, draft::drafter_names_text())->capture_default_str();
  command
      .add_option("--tree-nodes", options.tree_nodes, "rows of a step per request, 0 = the scheduler decides")
      ->check(within(0, 1024))
      ->capture_default_str();
  command.add_option("--requests", options.requests, "how many of the prompts")
      ->check(within(1, 100'000))
      ->capture_default_str();
  command.add_option("--concurrency", options.concurrency, "requests at a time")
      ->check(within(1, 1024))
      ->capture_default_str();
  command.add_option("--max-tokens", options.max_tokens, "tokens generated per prompt")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command.add_option("--temperature", options.temperature, "0 = greedy")
      ->check(within(0.0, 100.0))
      ->capture_default_str();
  command.add_option("--rounds", options.rounds, "every arm once per round")
      ->check(within(1, 100'000))
      ->capture_default_str();
  command.add_option("--json", options.json, "also write the figures here");
}

void add_structured(CLI::App& bench, Run& run) {
  auto options = std::make_shared<BenchStructuredOptions>();
  CLI::App* command = bench.add_subcommand(
      "structured",
      "steps and tokens per second of replies bound to a schema, with a grammar that drafts and without");
  add_draft_options(*command, options->drafts);
  command->add_option("--schema", options->schema, "file of a JSON schema")->required();
  command->callback([&run, options] {
    run = [options](std::FILE* out) { return report(run_bench_structured(*options, out)); };
  });
}

void add_prediction(CLI::App& bench, Run& run) {
  auto options = std::make_shared<BenchPredictionOptions>();
  CLI::App* command = bench.add_subcommand(
      "prediction", "steps and tokens per second of replies that are predicted, with prediction and without");
  add_draft_options(*command, options->drafts);
  command->add_option("--right", options->right, "part of a reply's tokens that its prediction has right")
      ->check(within(0.0, 1.0))
      ->capture_default_str();
  command->add_flag("--ignore-eos", options->drafts.ignore_eos, "replies go on to max-tokens");
  command->callback([&run, options] {
    run = [options](std::FILE* out) { return report(run_bench_prediction(*options, out)); };
  });
}

void add_kernels(CLI::App& bench, Run& run) {
  auto options = std::make_shared<BenchKernelOptions>();
  CLI::App* command =
      bench.add_subcommand("kernels", "ops at the shapes of V4-Flash against the memory bandwidth");
  command->add_option("--backend", options->backend, "auto, cpu, cuda or reference")->capture_default_str();
  add_cpu(command, options->cpu);
  command->add_option("--seconds", options->seconds_per_case, "of each case")
      ->check(within(0.001, 3600.0))
      ->capture_default_str();
  command->add_option("--weight-gib", options->weight_gib, "weights of a case, more than any cache holds")
      ->check(within(0.001, 1024.0))
      ->capture_default_str();
  command->add_option("--filter", options->filter, "only cases whose name contains this");
  command->add_option("--json", options->json_path, "also write the figures here");
  command->callback(
      [&run, options] { run = [options](std::FILE* out) { return run_bench_kernels(*options, out); }; });
}

void add_memory(CLI::App& bench, Run& run) {
  auto options = std::make_shared<BenchMemoryOptions>();
  CLI::App* command =
      bench.add_subcommand("memory", "read and copy bandwidth and arithmetic of this machine");
  add_cpu(command, options->cpu);
  command->add_option("--seconds", options->seconds, "of each figure")
      ->check(within(0.001, 3600.0))
      ->capture_default_str();
  command->add_option("--rounds", options->rounds, "of all figures")
      ->check(within(1, 1000))
      ->capture_default_str();
  command->callback([&run, options] {
    run = [options](std::FILE* out) { return report(run_bench_memory(*options, out)); };
  });
}

void add_engine(CLI::App& bench, Run& run) {
  struct Options {
    SessionOptions session;
    FlashSliceOptions slice;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand(
      "engine", "a slice of V4-Flash: true dimensions, random weights, time per layer against its bytes");
  command->add_option("--backend", options->session.backend, "auto, cpu, cuda or reference")
      ->capture_default_str();
  add_cpu(command, options->session.cpu);
  command->add_option("--config", options->slice.config, "config.json of the model to slice")
      ->capture_default_str();
  command->add_option("--layers", options->slice.layers, "layers, CSA and HCA in turn")
      ->check(within(1, 512))
      ->capture_default_str();
  command->add_option("--rows", options->slice.rows, "rows of a step, several")
      ->check(within(1, 512))
      ->capture_default_str();
  command->add_option("--context", options->slice.context, "tokens in the cache before the step")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command
      ->add_option("--prefill", options->slice.prefill,
                   "of these, the last that are computed; others are made up")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command->add_option("--repeats", options->slice.repeats, "steps timed per figure")
      ->check(within(1, 1'000'000))
      ->capture_default_str();
  command->callback([&run, options] {
    run = [options](std::FILE* out) -> int {
      options->slice.threads = options->session.cpu.threads;
      const auto backend = open_backend(options->session);
      if (!backend) return report(tl::make_unexpected(backend.error()));
      return report(bench_flash_slice(**backend, options->slice, out));
    };
  });
}

void add_scheduler(CLI::App& bench, Run& run) {
  auto options = std::make_shared<BenchSchedulerOptions>();
  options->allocations = allocation_count;
  CLI::App* command = bench.add_subcommand(
      "scheduler", "the scheduler's own work per step: plan, build, select, accept; without a model");
  command->add_option("--requests", options->requests, "decoding at the same time")
      ->check(within(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--candidates", options->candidates, "drafted nodes per request")
      ->check(within(1, 64))
      ->capture_default_str();
  command->add_option("--steps", options->steps, "timed")
      ->check(within(1, 100'000'000))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "of the synthetic drafts")
      ->check(within(kSeedMin, kSeedMax))
      ->capture_default_str();
  command->add_option("--json", options->json, "also write the figures here");
  command->callback([&run, options] {
    run = [options](std::FILE* out) { return report(run_bench_scheduler(*options, out)); };
  });
}

void add_server(CLI::App& bench, Run& run) {
  auto options = std::make_shared<BenchServerOptions>();
  CLI::App* command = bench.add_subcommand(
      "server",
      "streams over real sockets with a scripted engine: processor time per event, waits, first token");
  command->add_option("--model", options->model, "checkpoint directory, or a file of a tokenizer")
      ->required();
  command->add_option("--api", options->api, bench_server_apis())->capture_default_str();
  command->add_option("--streams", options->streams, "at the same time")
      ->check(within(1, 4096))
      ->capture_default_str();
  command->add_option("--steps", options->steps, "timed")->check(within(1, 1'000'000))->capture_default_str();
  command->add_option("--tokens-per-step", options->tokens_per_step, "of each stream: one event")
      ->check(within(1, 64))
      ->capture_default_str();
  command
      ->add_option(
          "--ahead", options->ahead,
          "steps that the engine may be ahead of the slowest client; 0: each event is sent by itself")
      ->check(within(0, 1'000'000))
      ->capture_default_str();
  command->add_option("--io-threads", options->io_threads, "of the server")
      ->check(within(1, 256))
      ->capture_default_str();
  command->add_option("--prompt-tokens", options->prompt_tokens, "of requests whose first token is timed")
      ->check(within(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--prompts", options->prompts, "such requests, one after another")
      ->check(within(1, 100'000))
      ->capture_default_str();
  command->add_option("--json", options->json, "also write the figures here");
  command->callback([&run, options] {
    run = [options](std::FILE* out) { return report(run_bench_server(*options, out)); };
  });
}

void add_speculation(CLI::App& bench, Run& run, const std::vector<std::string>& words) {
  auto options = std::make_shared<BenchSpeculationOptions>();
  CLI::App* command = bench.add_subcommand(
      "speculation", "throughput with adaptive speculation over throughput without, by concurrency");
  add_session(command, options->session);
  command->add_option("--prompts", options->prompts, "JSON Lines of prompts, taken in turn")->required();
  command->add_option("--concurrency", options->concurrencies, "requests at a time, several")
      ->check(within(1, 1024))
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--drafter", options->drafter, "of the arm that speculates")->capture_default_str();
  command->add_option("--tree-nodes", options->tree_nodes, "its rows per step; 0 = adaptive")
      ->check(within(0, 1024))
      ->capture_default_str();
  command->add_option("--requests", options->requests, "per round, at least the concurrency")
      ->check(within(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--max-tokens", options->max_tokens, "tokens generated per request")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "0 = greedy")
      ->check(within(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--top-p", options->top_p, "nucleus")->check(within(0.0, 1.0))->capture_default_str();
  command->add_option("--seed", options->seed, "request i samples with seed + i")
      ->check(within(kSeedMin, kSeedMax))
      ->capture_default_str();
  command->add_flag("--ignore-eos", options->ignore_eos, "the end token does not end a completion");
  command
      ->add_option("--rounds", options->rounds,
                   "of all requests by both arms, in turns of a tenth of a second")
      ->check(within(1, 100'000))
      ->capture_default_str();
  command
      ->add_option("--oracle-draft", options->scripted_rate,
                   "drafts that are right with this chance per depth, at the drafter's own cost")
      ->check(within(0.0, 1.0));
  command->add_option("--json", options->json, "also write the figures here");
  command->add_option("--out", options->out, "folder of a result for the command report, with its page");
  command->callback([&run, options, words] {
    run = [options, words](std::FILE* out) {
      options->command = words;
      return report(run_bench_speculation(*options, out));
    };
  });
}

void add_prefix(CLI::App& bench, Run& run) {
  auto options = std::make_shared<BenchPrefixOptions>();
  CLI::App* command = bench.add_subcommand("prefix", "what a second request with the same beginning saves");
  add_session(command, options->session);
  command->add_option("--prompts", options->prompts,
                      "JSON Lines that prefixes and suffixes are made of; random tokens if absent");
  command->add_option("--prefix-tokens", options->prefix_tokens, "that both requests share")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command->add_option("--max-tokens", options->max_tokens, "tokens generated per request")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "0 = greedy")
      ->check(within(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "of prompts and sampling")
      ->check(within(kSeedMin, kSeedMax))
      ->capture_default_str();
  command->add_option("--drafter", options->drafter, "as generate's")->capture_default_str();
  command->add_option("--tree-nodes", options->tree_nodes, "rows per step, fixed")
      ->check(within(1, 1024))
      ->capture_default_str();
  command->add_option("--rounds", options->rounds, "each with fresh engines")
      ->check(within(1, 100'000))
      ->capture_default_str();
  command->add_option("--json", options->json, "also write the figures here");
  command->callback([&run, options] {
    run = [options](std::FILE* out) { return report(run_bench_prefix(*options, out)); };
  });
}

}  // namespace

void add_bench_commands(CLI::App& app, Run& run, const std::vector<std::string>& words) {
  CLI::App* bench = app.add_subcommand("bench", "measurements, as ratios within one run");
  bench->require_subcommand(1);
  add_decode(*bench, run);
  add_speculation(*bench, run, words);
  add_prefix(*bench, run);
  add_scheduler(*bench, run);
  add_server(*bench, run);
  add_structured(*bench, run);
  add_prediction(*bench, run);
  add_kernels(*bench, run);
  add_memory(*bench, run);
  add_engine(*bench, run);
}

}  // namespace ft::eval
