"""``python -m lwm2md.ctl``: lwm2mctl where it is not installed."""

from __future__ import annotations

from lwm2md.ctl.main import main

raise SystemExit(main())
