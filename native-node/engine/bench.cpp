#include "engine.h"

namespace switchyard {
Status bench(const BenchOptions&, const Engine::Progress&, BenchReport*) { return Status::error(Code::unsupported, "the benchmark is not built yet"); }
}  // namespace switchyard
