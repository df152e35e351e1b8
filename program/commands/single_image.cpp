#include "commands/single_image.hpp"

namespace osc::program {

ObjectIndex index_single_image(const Model& model, const RunConfig& config, const Image& image,
                               const std::string& name) {
  ImageSet set;
  set.source = name;
  set.side = static_cast<int>(config.image_size);
  set.names = {name};
  set.pixels = image.pixels;
  return build_object_index(model, set, static_cast<std::uint64_t>(config.seed));
}

}  // namespace osc::program
