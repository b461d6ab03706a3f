// foretoken-server restricted to one instruction set: `server_on_target AVX2 [FLAGS]`.
#include <cstdio>
#include <cstring>

#include "hwy/highway.h"
#include "hwy/targets.h"

int server_main(int argc, char** argv);  // the main() of foretoken-server, compiled under this name

int main(int argc, char** argv) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    if (argc < 2 || std::strcmp(argv[1], hwy::TargetName(target)) != 0) continue;
    hwy::SetSupportedTargetsForTest(target);
    argv[1] = argv[0];
    return server_main(argc - 1, argv + 1);
  }
  std::fprintf(stderr, "server_on_target: the first argument is no instruction set that this CPU has\n");
  return 2;
}
