// What the addon keeps for each JS environment (the main thread and every worker has its own).
#pragma once

#include <napi.h>

namespace switchyard {

struct AddonData {
  Napi::FunctionReference engine_class, tokenizer_class;
};

}  // namespace switchyard
