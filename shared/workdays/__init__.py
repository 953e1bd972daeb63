"""On which days offices work: `calendar` is pure and open to domains, `files` reads what provinces decided."""
