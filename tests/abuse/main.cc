// abuse_soak: abuses a server for a while, and says what that did to it and to its other clients.
// Ends with 0 when everything was as it should be, else with 1 and a line for each thing that was not.
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/abuse/soak.h"
#include "tests/support/program.h"

namespace {

using ft::testing::Program;
using namespace ft::abuse;

struct Arguments {
  std::string program;  // started here, with `flags`
  std::vector<std::string> flags;
  Server server;
  int pid = 0;
  std::string scenario = "all";
  SoakOptions soak;
};

void add_flags(CLI::App& app, Arguments& arguments) {
  SoakOptions& soak = arguments.soak;
  app.add_option("--server", arguments.program, "Program to start; flags for it come behind --");
  app.add_option("--port", arguments.server.port, "Port of a server that runs, instead");
  app.add_option("--pid", arguments.pid, "Its process");
  app.add_option("--key", arguments.server.key, "API key, given to --server as well");
  app.add_option("--scenario", arguments.scenario, "framing, texts, mix or all")
      ->check(CLI::IsMember({"framing", "texts", "mix", "all"}));
  app.add_option("--seconds", soak.seconds, "Length of the mix");
  app.add_option("--connections", soak.connections, "Abusers at once in the mix");
  app.add_option("--clean-clients", soak.clean_clients, "Well-behaved clients beside them");
  app.add_option("--seed", soak.seed, "What the abusers do");
  app.add_option("--behaviours", soak.behaviours, "Some of them only, by name, comma-separated")
      ->delimiter(',');
  app.add_option("--body-mib", soak.body_mib, "Size of large bodies and prompts");
  app.add_option("--framing-mib", soak.framing_mib, "Size of the longest framing attacks");
  app.add_option("--health-ms", soak.health_ms, "Longest time without an answer of /health");
  app.add_option("--stream-gap-ms", soak.stream_gap_ms,
                 "Longest pause of a clean stream, over the solo run's");
  app.add_option("--framing-growth-mib", soak.framing_growth_mib, "Memory that a framing attack may take");
  app.add_option("--text-growth-mib", soak.text_growth_mib, "Memory that two large texts may take");
  app.add_option("--mix-growth-mib", soak.mix_growth_mib, "Memory that the mix may take");
  app.add_option("--kept-percent", soak.kept_percent, "Memory that may be kept afterwards");
  app.add_option("flags", arguments.flags, "Flags of the server");
}

std::unique_ptr<Program> start(Arguments& arguments) {
  std::vector<std::string> flags = {"--port", "0", "--state-dir", ""};
  if (!arguments.server.key.empty()) flags.insert(flags.end(), {"--api-key", arguments.server.key});
  flags.insert(flags.end(), arguments.flags.begin(), arguments.flags.end());
  auto program = std::make_unique<Program>(arguments.program, flags);
  if (!program->wait_for("ready in", 120)) {
    fmt::print("the server did not start:\n{}\n", program->errors());
    return nullptr;
  }
  arguments.pid = program->pid();
  arguments.server.port = ft::testing::port_of(*program);
  return program;
}

// What the server wrote that it should not have had to, and how it ends. True when that was well.
bool end_well(Program& program) {
  bool good = true;
  program.signal(SIGTERM);
  const std::optional<int> code = program.wait(60);
  if (code != 0) {
    fmt::print("FAILED the server ended with {}\n", code ? std::to_string(*code) : "nothing after SIGTERM");
    good = false;
  }
  const std::string log = program.errors();
  if (log.find("unexpectedly") != std::string::npos) {
    fmt::print("FAILED the log names what ended unexpectedly\n");
    good = false;
  }
  if (!good)
    fmt::print("the end of its log:\n{}\n", log.substr(log.size() - std::min<size_t>(log.size(), 6000)));
  return good;
}

int run(Arguments& arguments) {
  // Both ends of every connection may be ours.
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  signal(SIGPIPE, SIG_IGN);

  std::unique_ptr<Program> program;
  if (!arguments.program.empty() && !(program = start(arguments))) return 1;
  std::string text;
  bool good = false;
  {
    Soak soak(arguments.server, arguments.pid, arguments.soak);
    if (soak.prepare()) {
      const auto wanted = [&](const char* name) {
        return arguments.scenario == name || arguments.scenario == "all";
      };
      if (wanted("framing")) soak.run_framing();
      if (wanted("texts")) soak.run_texts();
      if (wanted("mix")) soak.run_mix();
    }
    good = soak.report(text);
  }
  fmt::print("{}", text);
  if (program) good = end_well(*program) && good;
  return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Abuses a server, and says what that did to it and to its other clients", "abuse_soak");
  add_flags(app, arguments);
  CLI11_PARSE(app, argc, argv);
  if (arguments.program.empty() == (arguments.server.port == 0 || arguments.pid == 0)) {
    fmt::print("abuse_soak: expected either --server, or --port and --pid\n");
    return 2;
  }
  return run(arguments);
}
