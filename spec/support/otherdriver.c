/* For spec/hosts/abi_spec.lua: a driver of another Perigee. Nothing of it but the
** head is ever looked at. Compiled with -DABI_AHEAD and -DRELEASE. */
#include "driver/driver.h"

extern const struct prg_driver perigee_driver;
const struct prg_driver perigee_driver = {
    .abi = PRG_DRIVER_ABI + ABI_AHEAD,
    .release = RELEASE,
    .name = "other",
};
