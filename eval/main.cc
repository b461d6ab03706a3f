// foretoken-eval: experiments and checks on checkpoints, from the command line.
// Exit codes: 0 done; 1 a check has found a difference (identity); 2 bad flags, files or values, after one
// message on stderr; 4 a rank was lost.
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "core/machine_memory.h"
#include "core/mapped_file.h"
#include "core/ranks/mpi/join.h"
#include "eval/command_line.h"

namespace {

// The command, on rank 0: it alone reads prompts and writes files.
int lead(ft::ranks::Ranks& ranks, const ft::eval::Run& run) {
  if (ranks.size() > 1) fmt::print(stderr, "ranks: {}\n", ranks.size());
  ft::eval::use_ranks(ranks);
  try {
    return run(stdout);
  } catch (const ft::RankError&) {
    return ft::ranks::kExitRankLost;  // the watch tells why
  } catch (const std::bad_alloc&) {
    const ft::MemoryLimit limit = ft::host_memory_limit();
    return ft::eval::report(ft::fail(ft::ErrorCode::kTooLarge, "out of memory: {} is {}", limit.what,
                                     ft::bytes_text(limit.bytes)));
  } catch (const std::exception& error) {
    return ft::eval::report(ft::fail(ft::ErrorCode::kUnavailable, "{}", error.what()));
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Experiments and checks on DeepSeek-V4 checkpoints with Foretoken's engine"};
  app.require_subcommand(1);
  ft::eval::Run run;
  ft::eval::add_model_commands(app, run);
  ft::eval::add_experiment_commands(app, run);
  std::vector<std::string> words(argv, argv + argc);
  if (!words.empty()) words[0] = "foretoken-eval";
  ft::eval::add_bench_commands(app, run, words);
  ft::eval::add_study_commands(app, run, words);
  ft::eval::add_serving_commands(app, run, words);
  ft::eval::add_text_commands(app, run, std::cout, std::cerr);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : ft::eval::kBadInput;
  }
  ft::report_lost_mappings("foretoken-eval", ft::eval::kBadInput);
  const auto code =
      ft::ranks::run_as_rank({.name = "foretoken-eval",
                              .lead = [&](ft::ranks::Ranks& ranks) { return lead(ranks, run); },
                              .offer_backend =
                                  [](const ft::ranks::ModelRequest& request, const ft::ranks::Ranks& ranks) {
                                    return ft::offer_rank_backend(request, ranks);
                                  }});
  return code ? *code : ft::eval::report(tl::make_unexpected(code.error()));
}
