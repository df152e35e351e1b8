// The loss of two views of one image, its gradient and its matching. Built and run by the tests.
#include <osc/similarity_loss.hpp>

#include <cstdio>
#include <vector>

int main() {
  // [2B, S, C] = [2, 3, 2]: three slots in each of two views; the second view has them in another
  // order.
  const std::vector<float> f = {1, 0, 0, 1, -1, -1, /* view 1 */ 0, 2, -3, -3, 5, 0};
  const std::vector<float> p = {1, 0, 0, 1, -1, 1, /* view 1 */ 0, 1, -1, -1, 1, 0};
  const auto slots = [](const std::vector<float>& x) {
    return osc::view_major(x.data(), {2, 3, 2});
  };

  float loss = 0;
  std::vector<float> gradient(p.size());
  std::vector<std::int64_t> matching(3);
  osc::matching_similarity_loss_per_img(slots(f), slots(p), {},
                                        {.loss = &loss,
                                         .matching = matching.data(),
                                         .grad_p = osc::view_major(gradient.data(), {2, 3, 2})});

  std::printf("loss %.4f, slots 0, 1, 2 matched to %d, %d, %d\n", loss,
              static_cast<int>(matching[0]), static_cast<int>(matching[1]),
              static_cast<int>(matching[2]));
  return matching == std::vector<std::int64_t>{2, 0, 1} ? 0 : 1;
}
